"""Frames from pictures: a single one, a folder of them, an animated webp."""

from __future__ import annotations

import re
import struct
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from .info import DEFAULT_FPS, VideoInfo

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})

_WEBP_BATCH = 32  # frames decoded together; the decoder starts from frame 0 at every call


class PictureSource:
    """A picture file as a clip of one frame."""

    def __init__(self, path: Path) -> None:
        self._frame = _read_picture(path)
        self.info = _picture_info(self._frame, 1)

    def frames(self) -> Generator[np.ndarray, None, None]:
        yield self._frame


class FolderSource:
    """The pictures of a folder in natural order (frame_2 before frame_10); sub-folders and other files are passed by.

    Sizes are compared as the pictures are read, because only decoding tells them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = sorted(
            (f for f in path.iterdir() if f.suffix.lower() in PICTURE_SUFFIXES and not f.name.startswith(".")),
            key=lambda f: _natural_key(f.name),
        )
        if not self._files:
            suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
            raise ValueError(f"folder {path} holds no pictures ({suffixes}): give a video or a folder of frames")
        self.info = _picture_info(_read_picture(self._files[0]), len(self._files))

    def frames(self) -> Generator[np.ndarray, None, None]:
        for file in self._files:
            frame = _read_picture(file)
            height, width = frame.shape[:2]
            if (height, width) != (self.info.height, self.info.width):
                raise ValueError(
                    f"{file.name} is {width}x{height}, the first picture of {self._path.name}, {self._files[0].name}, "
                    f"is {self.info.width}x{self.info.height}: all frames of a clip need one size"
                )
            yield frame


class WebpSource:
    """An animated webp, which FFmpeg cannot decode. Its compressed bytes are held, its frames are not."""

    def __init__(self, path: Path) -> None:
        if not hasattr(cv2, "imdecodeanimation"):
            raise ValueError(
                f"{path.name} is an animated webp, which this OpenCV is too old for: update it or convert to mp4"
            )
        self._path = path
        self._data = np.fromfile(path, np.uint8)
        delays = _webp_delays(self._data.tobytes())
        self._count = len(delays)
        first = self._decode(0, 1)[0]
        seconds = Fraction(sum(delays), 1000)
        self.info = VideoInfo(
            width=first.shape[1],
            height=first.shape[0],
            fps=self._count / seconds if seconds else DEFAULT_FPS,
            frames=self._count,
            has_audio=False,
            duration=float(seconds) or None,
        )

    def frames(self) -> Generator[np.ndarray, None, None]:
        for start in range(0, self._count, _WEBP_BATCH):
            yield from self._decode(start, min(_WEBP_BATCH, self._count - start))

    def _decode(self, start: int, count: int) -> list[np.ndarray]:
        try:
            _, animation = cv2.imdecodeanimation(self._data, start, count)
        except cv2.error as error:
            raise ValueError(f"{self._path.name} is not a readable webp animation: {error.err}") from error
        if len(animation.frames) != count:
            raise ValueError(
                f"{self._path.name} is damaged or cut short: {start + len(animation.frames)} of {self._count} frames "
                "could be read"
            )
        return [np.ascontiguousarray(frame[..., 2::-1]) for frame in animation.frames]


def is_animated_webp(path: Path) -> bool:
    """Whether the file is a webp with the animation bit set in its VP8X header, whatever its name."""
    with path.open("rb") as file:
        head = file.read(21)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 21 and bool(head[20] & 2)


def _webp_delays(data: bytes) -> list[int]:
    """Milliseconds of every frame: the 24 bits at byte 12 of each ANMF chunk."""
    delays, position = [], 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        if name == b"ANMF":
            delays.append(int.from_bytes(data[position + 20 : position + 23], "little"))
        position += 8 + size + size % 2
    return delays


def _read_picture(path: Path) -> np.ndarray:
    """A picture, `h w c` uint8 RGB, turned as its EXIF says; alpha is dropped, 16 bits become 8."""
    # Not cv2.imread: on Windows it cannot open names outside the system's code page.
    data = np.fromfile(path, np.uint8)
    picture = None
    if data.size:
        try:
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        except cv2.error as error:
            raise ValueError(f"cannot read the picture {path.name}: {error.err}") from error
    if picture is None:
        raise ValueError(f"cannot read the picture {path.name}: it is damaged or of another format than its name says")
    return np.ascontiguousarray(picture[..., ::-1])


def _picture_info(frame: np.ndarray, count: int) -> VideoInfo:
    height, width = frame.shape[:2]
    duration = float(count / DEFAULT_FPS)
    return VideoInfo(width=width, height=height, fps=DEFAULT_FPS, frames=count, has_audio=False, duration=duration)


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"([0-9]+)", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part] + [(1, 0, name)]
