"""A clip, and what lies beside it: caption, masks, the video before the edit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gvr_core.video import InterlacedError, VideoInfo, VideoReader, probe

from . import captions
from .fingerprints import fingerprint

MASKS = ".masks"
"""What the masks of `name.mp4` are called: a folder `name.masks` or a video `name.masks.mp4`, a frame for a frame."""
SOURCE = ".source"
"""What the video before the edit is called, `name.source.mp4` or a folder `name.source`, a frame for a frame."""


class ClipError(ValueError):
    """This clip is damaged; the next one may be whole."""


class UnfitError(ValueError):
    """This clip is whole, but its pixels are not the picture as it is meant to be seen; the next one may be."""


class ClipsGoneError(ValueError):
    """The disk with the clips went away, which must not make every clip a damaged one."""


class ToolError(ValueError):
    """What measures or encodes frames does not work, which must not make every clip a damaged one."""


@contextmanager
def tool_errors(tool: str, clip: str) -> Iterator[None]:
    """Whatever is raised inside, except for want of memory, becomes a `ToolError` that names tool, clip and cause."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ToolError(
            f"{tool} failed at {clip}: {type(error).__name__}: {error}: mend that, then give the same command again"
        ) from error


@dataclass(frozen=True)
class Clip:
    r"""A video file or a folder of pictures.

    Attributes:
        name: its path below the root, with slashes; bytes that are no UTF-8 are written \udce9.
        path: where it is.
        beside: endings of what lies beside it and belongs to it, ".txt", ".masks", ".source.mp4", ...
        problem: why it cannot be read, if that was seen when it was listed.
    """

    name: str
    path: Path
    beside: tuple[str, ...] = ()
    problem: str = ""

    @property
    def key(self) -> str:
        """A name for tar members: readable, unique, of fixed length at most, without dots and slashes."""
        readable = re.sub(r"[^A-Za-z0-9_]+", "-", Path(self.name).stem).strip("-").lower()[:32]
        return f"{readable or 'clip'}-{hashlib.sha256(self.name.encode()).hexdigest()[:16]}"

    @property
    def number(self) -> int:
        """64 bits that stand for the name, the same in every process."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "big")

    @property
    def has_caption(self) -> bool:
        """Whether there is a file for it; it may be empty."""
        return any(ending in captions.SUFFIXES for ending in self.beside)

    def fingerprint(self, *, masks: bool, source: bool) -> str:
        """Stands for the contents of the clip, of its caption and on request of its masks and the video before the
        edit, the same on every disk."""
        files = {"caption": self._caption(), MASKS: self._beside(MASKS), SOURCE: self._beside(SOURCE)}
        used = {"caption": True, MASKS: masks, SOURCE: source}
        parts = [f"{kind}={fingerprint(path)}" for kind, path in files.items() if used[kind] and path is not None]
        return " ".join([self.name, fingerprint(self.path), *parts])

    def info(self) -> VideoInfo:
        """What the header says. Raises ClipError."""
        with self._errors():
            return probe(self.path)

    def frames(self) -> Iterator[np.ndarray]:
        """`h w 3` uint8 RGB one after the other.

        Raises:
            ClipError: the file is damaged, also where FFmpeg would hide it.
            UnfitError: it is interlaced.
            ClipsGoneError: it was there and is not any more.
        """
        return self._frames(self.path)

    def mask_at(self, frame: int) -> np.ndarray | None:
        """The mask of a frame, `h w` uint8, 255 inside; None where the clip has no masks. Raises as `frames`."""
        source = self._beside(MASKS)
        if source is None:
            return None
        for number, picture in enumerate(self._frames(source)):
            if number == frame:
                return np.where(picture.max(axis=2) > 127, np.uint8(255), np.uint8(0))
        raise ClipError(f"{source.name} has no mask for frame {frame}: it needs one for every frame of the clip")

    def source(self) -> Path | None:
        """The video before the edit (U 3.4, editing pairs), or None."""
        return self._beside(SOURCE)

    def source_frames(self) -> Iterator[np.ndarray]:
        """As `frames`, of the video before the edit. Raises ClipError too where it has another shape than the clip."""
        path, info = self._beside(SOURCE), self.info()
        for frame in self._frames(path):
            height, width = frame.shape[:2]
            if abs(width * info.height - height * info.width) > 0.01 * width * info.height:
                raise ClipError(
                    f"{path.name} has {width} x {height} pixels and the clip {info.width} x {info.height}: it must "
                    "have the clip's shape"
                )
            yield frame

    def caption(self) -> str:
        """From the .txt or the .json ("caption" or "text") of the same stem; empty without either. Raises ClipError."""
        path = self._caption()
        if path is None:
            return ""
        try:
            return captions.read_caption(path)
        except (ValueError, OSError) as error:
            raise ClipError(f"the caption beside {self.path.name} cannot be read: {error}") from error

    def is_gone(self) -> bool:
        """Whether it was there when it was listed and is not any more, or its disk does not answer."""
        if self.problem:
            return False
        try:
            self.path.stat()
        except OSError:
            return True
        return False

    def _caption(self) -> Path | None:
        return next((self._place(suffix) for suffix in captions.SUFFIXES if suffix in self.beside), None)

    def _beside(self, kind: str) -> Path | None:
        """The folder `name` + kind, or the first video of that name."""
        endings = [ending for ending in self.beside if ending == kind or ending.startswith(f"{kind}.")]
        return self._place(min(endings)) if endings else None

    def _place(self, ending: str) -> Path:
        return self.path.with_name(self.path.stem + ending)

    def _frames(self, path: Path) -> Iterator[np.ndarray]:
        with self._errors(), VideoReader(path, strict=True) as reader:
            yield from reader

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self.problem:
            raise ClipError(self.problem)
        if self.is_gone():
            raise ClipsGoneError(f"{self.path} was listed and is not there any more: is the disk still mounted?")
        try:
            yield
        except InterlacedError as error:
            raise UnfitError(f"interlaced: {error}") from error
        except (ValueError, OSError) as error:
            raise ClipError(str(error)) from error
