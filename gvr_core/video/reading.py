"""One reader for everything that has frames."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from .file_source import FileSource
from .info import VideoInfo
from .picture_source import PICTURE_SUFFIXES, FolderSource, PictureSource, WebpSource, is_animated_webp


class Source(Protocol):
    """Something that knows its size and yields its frames, `h w c` uint8 RGB, from the first one at each call."""

    info: VideoInfo

    def frames(self) -> Generator[np.ndarray, None, None]: ...


def probe(path: str | Path) -> VideoInfo:
    """Size, rate and length of a video, an animation, a picture or a folder of pictures.

    Raises:
        ValueError: nothing is there, or it cannot be read as one of these.
    """
    return _open_source(Path(path)).info


class VideoReader:
    """Frames of a video in presentation order, one decoded at a time.

    Iterating starts at the first frame every time, so a clip can be read twice. Leaving the `with` block closes the
    file even when the reading stopped midway.

    Example:
        >>> with VideoReader("clip.mp4") as reader:
        ...     for chunk in reader.read_chunks(17):
        ...         ...

    Args:
        path: Video file, animated webp or gif, picture, or folder of pictures in natural order of their names.
        strict: Whether frames that FFmpeg could only guess, left out, or that are interlaced are errors. Otherwise the
            first damaged one is told in the log, and all that there is comes.

    Attributes:
        info: See `VideoInfo`.

    Raises:
        ValueError: while opening or reading: no such file, not a video, no picture track, no frames, damaged or cut
            short, frames of changing size. The message names the file and how many frames could be read.
        InterlacedError: a `ValueError`, only if `strict`.
    """

    def __init__(self, path: str | Path, *, strict: bool = False) -> None:
        self._source = _open_source(Path(path), strict=strict)
        self._frames: Generator[np.ndarray, None, None] | None = None
        self.info = self._source.info

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames `h w c`, uint8 RGB. A new iteration ends the one before it."""
        self.close()
        self._frames = self._source.frames()
        return self._frames

    def read_chunks(self, size: int) -> Iterator[np.ndarray]:
        """Arrays `t h w c`, uint8 RGB, of `size` frames; the last one may be shorter.

        Raises:
            ValueError: size is below 1.
        """
        if size < 1:
            raise ValueError(f"cannot read chunks of {size} frames: give 1 or more")
        return self._chunks(size)

    def close(self) -> None:
        """Closes the file; a later iteration opens it again."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None

    def _chunks(self, size: int) -> Iterator[np.ndarray]:
        chunk: list[np.ndarray] = []
        for frame in self:
            chunk.append(frame)
            if len(chunk) == size:
                yield np.stack(chunk)
                chunk = []
        if chunk:
            yield np.stack(chunk)


def _open_source(path: Path, *, strict: bool = False) -> Source:
    if not path.exists():
        raise ValueError(f"no such file or folder: {path}")
    if path.is_dir():
        return FolderSource(path)
    if not path.stat().st_size:
        raise ValueError(f"{path.name} is empty (0 bytes): copy or download it again")
    if is_animated_webp(path):
        return WebpSource(path)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return PictureSource(path)
    return FileSource(path, strict=strict)
