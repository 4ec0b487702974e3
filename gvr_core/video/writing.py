"""One writer for video files and folders of frames; a target is there whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from .folder_target import FolderTarget, check_folder
from .video_target import VIDEO_FORMATS, VideoTarget

VIDEO_SUFFIXES = tuple(VIDEO_FORMATS)
"""Suffixes of the video files that can be written."""


def check_writable(path: str | Path) -> None:
    """Returns when a `VideoWriter` for this path could start; to be called before long work.

    Raises:
        ValueError: unknown suffix, missing encoder, missing or read-only parent folder, a folder in the place of the
            file, or a folder that holds other things than frames.
    """
    path = Path(path)
    if _is_folder(path):
        check_folder(path)
    elif path.suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(
            f"cannot write {path.name}: give a name ending in {', '.join(VIDEO_SUFFIXES)}, "
            "or one without an ending for a folder of PNG frames"
        )
    elif path.is_dir():
        raise ValueError(f"cannot write {path}: a folder of that name exists")
    elif (name := VIDEO_FORMATS[path.suffix.lower()].video_codec) not in av.codecs_available:
        raise ValueError(f"cannot write {path.suffix} files: this PyAV has no {name} encoder, choose another ending")
    parent = path if path.is_dir() else path.absolute().parent
    if not parent.is_dir():
        raise ValueError(f"cannot write {path}: the folder {parent} does not exist, make it first")
    try:
        # Asking by os.access answers wrongly on Windows and on network shares; a real file does not.
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise ValueError(f"cannot write into the folder {parent}: {error.strerror}") from error


class VideoWriter:
    """Writes frames as they come to a video file, or to a folder as frame_00001.png, frame_00002.png, ...

    The target appears (or is replaced) when the `with` block ends well. On any exception, KeyboardInterrupt included,
    nothing is left behind and what was there before stays.

    A suffix of `VIDEO_SUFFIXES` makes a video: H.264 and AAC, for .webm VP9 and Opus; BT.709 and tagged so; 4:2:0, or
    4:4:4 where a side is odd. No suffix, or an existing folder, makes PNG frames; such a folder must be empty or hold
    only frame_*.png, which are replaced.

    Args:
        path: The target.
        width: Pixels of every frame.
        height: As width.
        fps: Frames per second, above 0 and at most 1000; kept to a denominator of at most 1001.
        audio_from: File whose first sound track goes along, cut to the video's length: copied where the target's
            format allows, else encoded anew. No sound there, or a damaged track, means none (the latter with a
            warning). Passed by for folders.
        crf: Constant rate factor, 0 (best) to 51, of the encoder's own scale.

    Raises:
        ValueError: what `check_writable` raises; a size, fps or crf out of range; `audio_from` missing or the target
            itself; frames of another size or type; no frames by the end; a full disk.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        width: int,
        height: int,
        fps: Fraction | float,
        audio_from: str | Path | None = None,
        crf: int = 16,
    ) -> None:
        self._path = Path(path)
        check_writable(self._path)
        if width < 1 or height < 1:
            raise ValueError(f"cannot write frames of {width}x{height} pixels: both sides need 1 or more")
        if not 0 < fps <= 1000:
            raise ValueError(f"cannot write {float(fps):g} frames per second: give more than 0 and at most 1000")
        if not 0 <= crf <= 51:
            raise ValueError(f"crf is {crf}, expected 0 (best) to 51")
        audio_from = None if audio_from is None else Path(audio_from)
        if audio_from is not None:
            if not audio_from.exists():
                raise ValueError(f"no such file to take the sound from: {audio_from}")
            if self._path.exists() and self._path.samefile(audio_from):
                raise ValueError(f"{self._path} would replace its own source: choose another output name")
        self._size = (height, width)
        self._count = 0
        self._is_open = False
        self._target: VideoTarget | FolderTarget
        if _is_folder(self._path):
            self._target = FolderTarget(self._path)
        else:
            rate = Fraction(fps).limit_denominator(1001)
            self._target = VideoTarget(self._path, width=width, height=height, fps=rate, audio_from=audio_from, crf=crf)

    def __enter__(self) -> VideoWriter:
        try:
            with _readable_errors(self._path):
                self._target.open()
            self._is_open = True
        finally:
            if not self._is_open:
                self._target.abort()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        is_done = False
        try:
            if kind is None:
                if not self._count:
                    raise ValueError(f"no frames came to be written to {self._path.name}")
                with _readable_errors(self._path):
                    self._target.finish()
                is_done = True
        finally:
            if not is_done:
                self._target.abort()

    def write(self, frames: np.ndarray) -> None:
        """Appends frames.

        Args:
            frames: `t h w c` uint8 RGB of the writer's size.

        Raises:
            ValueError: another shape or type, called outside the `with` block, or the target cannot be written.
        """
        if not self._is_open:
            raise ValueError("the video writer is not open: use it in a `with` block")
        height, width = self._size
        if frames.dtype != np.uint8 or frames.shape[1:] != (height, width, 3):
            raise ValueError(
                f"frames are {frames.dtype} of shape {tuple(frames.shape)}, expected uint8 `t h w c` with "
                f"h={height}, w={width}, c=3"
            )
        with _readable_errors(self._path):
            for frame in frames:
                self._target.write(frame)
                self._count += 1


def _is_folder(path: Path) -> bool:
    return path.suffix.lower() not in VIDEO_SUFFIXES and (not path.suffix or path.is_dir())


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from error
