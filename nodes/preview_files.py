"""Videos for the browser: H.264 that shows every frame exactly when it is asked for, in the host's temp folder."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange

from ..gvr_core.video.file_source import BT709, SWSCALE_FLAGS
from . import host

MAX_SIDE = 4096
"""Pixels of the longer side; hardware decoders of H.264 end there."""
SUBFOLDER = "gvr_compare"
# Near lossless, because people judge pixels. A whole picture every 12 frames and none that needs a later one: a jump
# decodes 12 frames at most. Without `sc_threshold` whole pictures would come at cuts instead.
_OPTIONS = {"preset": "veryfast", "crf": "8", "g": "12", "keyint_min": "12", "sc_threshold": "0", "bf": "0"}

_NAME = re.compile(r"[0-9a-f]{16}\.mp4")


def shown_size(width: int, height: int) -> tuple[int, int]:
    """Width and height in the preview, the shape kept: at most `MAX_SIDE`, never enlarged, at least 1."""
    factor = min(1.0, MAX_SIDE / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


class PreviewFile:
    """A video in the temp folder that is there whole or, after an exception, not at all.

    4:2:0 stores colour for blocks of 2 x 2 pixels, so odd sides get one more row or column, a copy of the last; the
    page crops it. Both files of a comparison are BT.709 and say so: browsers guess by size otherwise, and a small clip
    would differ in colour from its large version.

    Args:
        width: Pixels of the frames that come.
        height: As width.
        fps: Frames per second.

    Raises:
        ValueError: The file cannot be written, the disk being full for instance.
    """

    def __init__(self, width: int, height: int, fps: Fraction) -> None:
        self._source, self._fps = (width, height), fps
        self._shown = shown_size(width, height)
        self._coded = tuple(side + side % 2 for side in self._shown)
        folder = host.temp_folder() / SUBFOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{secrets.token_hex(8)}.mp4"
        self._count = 0

    def __enter__(self) -> PreviewFile:
        try:
            self._container = av.open(str(self._path), "w", options={"movflags": "+faststart"})
        except (av.FFmpegError, OSError) as error:
            raise ValueError(f"cannot write {self._path}: {error.strerror}") from error
        stream = self._container.add_stream("libx264", rate=self._fps, options=_OPTIONS)
        stream.width, stream.height = self._coded
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        # BT.709 has the same code as primaries, as transfer curve and as matrix.
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = ColorRange.MPEG
        self._stream = stream
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_done = False
        try:
            if kind is None:
                self._mux(None)
                self._container.close()
                is_done = True
        finally:
            if not is_done:
                # The end of a file that is thrown away may fail, on a full disk.
                with suppress(av.FFmpegError, OSError):
                    self._container.close()
                self._path.unlink(missing_ok=True)

    def write(self, frame: np.ndarray) -> None:
        """Appends a frame, `h w c` uint8 RGB of the size given before."""
        if self._shown != self._source:
            frame = cv2.resize(frame, self._shown, interpolation=cv2.INTER_AREA)
        height, width = frame.shape[:2]
        if (width, height) != self._coded:
            frame = np.pad(frame, ((0, self._coded[1] - height), (0, self._coded[0] - width), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(
            format="yuv420p",
            interpolation=SWSCALE_FLAGS,
            src_color_range=ColorRange.JPEG,
            dst_colorspace=BT709,
            dst_color_range=ColorRange.MPEG,
        )
        picture.pts, picture.time_base = self._count, 1 / self._fps
        self._mux(picture)
        self._count += 1

    def describe(self) -> dict[str, Any]:
        """What the page needs: where the file is, its picture's size, the file's and the source's (width, height)."""
        place = {"filename": self._path.name, "subfolder": SUBFOLDER, "type": "temp"}
        return {**place, "size": list(self._shown), "coded": list(self._coded), "source": list(self._source)}

    def _mux(self, picture: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            raise ValueError(f"cannot write {self._path}: {error.strerror or error}") from error


def answer_previews(question: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the files named as `a` and `b` are there: the host clears its temp folder when it starts."""
    names = [str(question.get(which, "")) for which in ("a", "b")]
    # Nothing but names of ours is looked for.
    there = all(_NAME.fullmatch(name) and (host.temp_folder() / SUBFOLDER / name).is_file() for name in names)
    return {"there": there}
