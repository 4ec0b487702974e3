"""The clips below a folder, in an order that never changes, each with what lies beside it."""

from __future__ import annotations

import logging
import os
import stat
from collections import defaultdict
from itertools import pairwise
from pathlib import Path, PurePath

from ..data import SUFFIXES
from . import captions
from .source_clips import MASKS, SOURCE, Clip

CLIP_SUFFIXES = frozenset(SUFFIXES | {".webp", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".ogv"})
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
log = logging.getLogger("gvr")


def find_clips(root: Path) -> list[Clip]:
    """Every clip below `root`, sorted by key: video files, and folders that hold pictures and no videos.

    What cannot be read is listed too, with its problem: it shall be named in the report and not end the run.

    Raises:
        ValueError: no such folder, no clips in it, or two that cannot be told apart.
    """
    if not root.is_dir():
        raise ValueError(f"no such folder of clips: {root}: set root=FOLDER")
    clips: list[Clip] = []
    beside_folders: dict[str, tuple[str, ...]] = {}
    for place, folders, files in os.walk(root, onerror=_warn):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files = [name for name in files if not name.startswith(".")]
        beside = _beside(folders, files)
        # Their frames are no clips of their own.
        folders[:] = [name for name in folders if PurePath(name).suffix not in (MASKS, SOURCE)]
        beside_folders |= {os.path.join(place, name): beside[PurePath(name).stem] for name in folders}  # noqa: PTH118
        files = [name for name in files if PurePath(PurePath(name).stem).suffix not in (MASKS, SOURCE)]
        videos = [name for name in files if _is_video(name)]
        folder = Path(place)
        if videos:
            clips += [
                _clip(root, folder / name, beside[PurePath(name).stem], _problem(folder / name)) for name in videos
            ]
        elif folder != root and any(PurePath(name).suffix.lower() in PICTURE_SUFFIXES for name in files):
            clips.append(_clip(root, folder, beside_folders.get(place, ()), ""))
        beside_folders.pop(place, None)
    if not clips:
        raise ValueError(f"no clips in {root}: expected videos ({', '.join(sorted(CLIP_SUFFIXES))}) or picture folders")
    clips.sort(key=lambda clip: clip.key)
    for one, other in pairwise(clips):
        if one.key == other.key:
            raise ValueError(f"{one.name} and {other.name} would get the same key {one.key}: rename one of them")
    return clips


def _beside(folders: list[str], files: list[str]) -> dict[str, tuple[str, ...]]:
    """Stem -> endings of what belongs to a clip of that stem, found in one look at the folder."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in folders:
        path = PurePath(name)
        if path.suffix in (MASKS, SOURCE):
            found[path.stem].append(path.suffix)
    for name in files:
        path = PurePath(name)
        inner = PurePath(path.stem)
        if path.suffix in captions.SUFFIXES:
            found[path.stem].append(path.suffix)
        elif inner.suffix in (MASKS, SOURCE) and _is_video(name):
            found[inner.stem].append(inner.suffix + path.suffix)
    return defaultdict(tuple, {stem: tuple(sorted(endings)) for stem, endings in found.items()})


def _clip(root: Path, path: Path, beside: tuple[str, ...], problem: str) -> Clip:
    return Clip(readable(path.relative_to(root).as_posix()), path, beside, problem)


def readable(text: str) -> str:
    r"""Text that every file and terminal takes: bytes of a name that are no UTF-8 are written \udce9."""
    return text.encode("utf-8", "backslashreplace").decode()


def _problem(path: Path) -> str:
    """Why a listed file cannot be read, as far as that is known without opening it; "" otherwise."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"{readable(path.name)} cannot be read: {error.strerror}"
    # Opening a pipe would wait for ever.
    return "" if stat.S_ISREG(mode) else f"{readable(path.name)} is no file: expected a video"


def _is_video(name: str) -> bool:
    return PurePath(name).suffix.lower() in CLIP_SUFFIXES


def _warn(error: OSError) -> None:
    log.warning("the folder %s cannot be read, its clips are missing: %s", error.filename, error.strerror)
