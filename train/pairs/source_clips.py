"""The clips below a folder, in an order that never changes, with what lies beside them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gvr_core.video import VideoInfo, VideoReader, probe

from ..data import SUFFIXES

CLIP_SUFFIXES = frozenset(SUFFIXES | {".webp", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".ogv"})
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
MASKS = ".masks"
"""What the masks of `name.mp4` are called: a folder `name.masks` or a video `name.masks.mp4`, a frame for a frame."""
SOURCE = ".source"
"""What the video before the edit is called, `name.source.mp4` or a folder `name.source`, a frame for a frame."""


class ClipError(ValueError):
    """This clip cannot be used; the next one may."""


@dataclass(frozen=True)
class Clip:
    """A video file or a folder of pictures.

    Attributes:
        name: its path below the root, with slashes.
        path: where it is.
        size: bytes, of all pictures together for a folder.
    """

    name: str
    path: Path
    size: int

    @property
    def key(self) -> str:
        """A name for tar members: readable, unique, of fixed length at most, without dots and slashes."""
        readable = re.sub(r"[^A-Za-z0-9_]+", "-", Path(self.name).stem).strip("-").lower()[:32]
        return f"{readable or 'clip'}-{hashlib.sha256(self.name.encode()).hexdigest()[:10]}"

    @property
    def number(self) -> int:
        """64 bits that stand for the name, the same in every process."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "big")

    def info(self) -> VideoInfo:
        """What the header says. Raises ClipError."""
        try:
            return probe(self.path)
        except ValueError as error:
            raise ClipError(str(error)) from error

    def frames(self) -> Iterator[np.ndarray]:
        """`h w 3` uint8 RGB one after the other. Raises ClipError where the file is damaged."""
        return _frames(self.path)

    def mask_at(self, frame: int) -> np.ndarray | None:
        """The mask of a frame, `h w` uint8, 255 inside; None where the clip has no masks. Raises ClipError."""
        source = self._beside(MASKS)
        if source is None:
            return None
        for number, picture in enumerate(_frames(source)):
            if number == frame:
                return np.where(picture.max(axis=2) > 127, np.uint8(255), np.uint8(0))
        raise ClipError(f"{source.name} has no mask for frame {frame}: it needs one for every frame of the clip")

    def source(self) -> Path | None:
        """The video before the edit (U 3.4, editing pairs), or None."""
        return self._beside(SOURCE)

    def source_frames(self) -> Iterator[np.ndarray]:
        """As `frames`, of the video before the edit. Raises ClipError where it has another shape than the clip."""
        path, info = self._beside(SOURCE), self.info()
        for frame in _frames(path):
            height, width = frame.shape[:2]
            if abs(width * info.height - height * info.width) > 0.01 * width * info.height:
                raise ClipError(
                    f"{path.name} has {width} x {height} pixels and the clip {info.width} x {info.height}: it must "
                    "have the clip's shape"
                )
            yield frame

    def _beside(self, ending: str) -> Path | None:
        """The folder `name` + ending, or the first video of that name."""
        folder = self.path.with_name(self.path.stem + ending)
        videos = (p for p in sorted(self.path.parent.glob(f"{_escaped(self.path.stem)}{ending}.*")) if _is_video(p))
        return folder if folder.is_dir() else next(videos, None)

    def caption(self) -> str:
        """From the .txt or the .json ("caption" or "text") of the same stem; empty without either. Raises ClipError."""
        text, record = (self.path.with_name(self.path.stem + suffix) for suffix in (".txt", ".json"))
        try:
            if text.is_file():
                return text.read_text(encoding="utf-8").strip()
            if record.is_file():
                values = json.loads(record.read_text(encoding="utf-8"))
                caption = values.get("caption", values.get("text", "")) if isinstance(values, dict) else None
                if not isinstance(caption, str):
                    raise ClipError(f'{record.name} has no text under "caption"')
                return caption.strip()
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ClipError(f"the caption beside {self.path.name} cannot be read: {error}") from error
        return ""


def find_clips(root: Path) -> list[Clip]:
    """Every clip below `root`, sorted by key: video files, and folders that hold pictures and no folders or videos.

    Raises:
        ValueError: no such folder, or no clips in it.
    """
    if not root.is_dir():
        raise ValueError(f"no such folder of clips: {root}: set root=FOLDER")
    clips, pictures = [], {}
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        if any(part.startswith(".") for part in relative.parts) or path.is_dir():
            continue
        beside = [Path(part).suffix for part in relative.parts[:-1]] + [Path(path.stem).suffix]
        if MASKS in beside or SOURCE in beside:
            continue
        if _is_video(path):
            clips.append(Clip(relative.as_posix(), path, path.stat().st_size))
        elif path.suffix.lower() in PICTURE_SUFFIXES and path.parent != root:
            pictures[path.parent] = pictures.get(path.parent, 0) + path.stat().st_size
    with_videos = {clip.path.parent for clip in clips}
    clips += [
        Clip(folder.relative_to(root).as_posix(), folder, size)
        for folder, size in pictures.items()
        if folder not in with_videos
    ]
    if not clips:
        raise ValueError(f"no clips in {root}: expected videos ({', '.join(sorted(CLIP_SUFFIXES))}) or picture folders")
    return sorted(clips, key=lambda clip: clip.key)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in CLIP_SUFFIXES


def _escaped(stem: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", stem)


def _frames(path: Path) -> Iterator[np.ndarray]:
    if not path.exists():
        # Not the clip's fault: a disk that went away must not make every clip "damaged".
        raise ValueError(f"{path} was listed and is not there any more: is the disk still mounted?")
    try:
        with VideoReader(path) as reader:
            yield from reader
    except (ValueError, OSError) as error:
        raise ClipError(str(error)) from error
