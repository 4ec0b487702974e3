"""Clips as arrays: decoded and resized once into memory-mapped files, or rendered by this project."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from gvr_core.sample_clip import render_sample_clip
from gvr_core.video import VideoReader

from ..fit_config import DataConfig

log = logging.getLogger("gvr")

SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif"}
RENDERED_TRAINING, RENDERED_VALIDATION = 4, 1
RENDERED_SIDES = (16, 9)
"""Clips that the source "rendered" draws for training and holds out, and their aspect ratio."""


@dataclass(frozen=True)
class Clips:
    """Clips at every short side of the config.

    Attributes:
        names: of the clips, for people and for keys of randomness.
        arrays: for each clip and short side the frames, uint8 `t h w 3`.
    """

    names: list[str]
    arrays: list[list[np.ndarray]]

    @property
    def shapes(self) -> list[list[tuple[int, int, int]]]:
        """Frames, height and width of each clip and short side."""
        return [[array.shape[:3] for array in arrays] for arrays in self.arrays]


def open_clips(config: DataConfig, *, held_out: bool = False) -> Clips:
    """The clips of a run; with `held_out` those it never trains on.

    Raises:
        ValueError: no such folder, no clips in it, an unreadable one, or all are shorter than a sample.
    """
    if config.source == "rendered":
        return _render(config, held_out)
    root = Path(config.root)
    if not root.is_dir():
        raise ValueError(f"no such folder of clips: {root}: set data.root")
    names = [
        p for p in sorted(root.iterdir()) if p.suffix.lower() in SUFFIXES and (p.name in config.validation) == held_out
    ]
    if not names and held_out:
        raise ValueError(
            f"none of the held-out clips ({', '.join(config.validation)}) is in {root}: set data.validation"
        )
    if not names:
        raise ValueError(f"no clips in {root}: expected files ending in {', '.join(sorted(SUFFIXES))}")
    clips = Clips([], [])
    for path in names:
        arrays = [np.load(cached_clip(path, s, Path(config.cache)), mmap_mode="r") for s in config.short_sides]
        if len(arrays[0]) >= config.frames:
            clips.names.append(path.name)
            clips.arrays.append(arrays)
        else:
            log.warning("%s has %d frames, samples need %d: left out", path.name, len(arrays[0]), config.frames)
    if not clips.names:
        raise ValueError(f"every clip in {root} is shorter than {config.frames} frames: lower data.frames")
    return clips


def cached_clip(path: Path, short: int, cache: Path) -> Path:
    """The `.npy` file (`t h w 3` uint8) of a clip at this short side, made when it is not there yet.

    Raises:
        ValueError: the clip cannot be read.
    """
    target = cache / f"{path.stem}__{short}.npy"
    if not target.is_file():
        with VideoReader(path) as reader:
            frames = np.stack([resize_short_side(frame, short) for frame in reader])
        cache.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial.npy")
        np.save(partial, frames)
        partial.replace(target)
    return target


def resize_short_side(frame: np.ndarray, short: int) -> np.ndarray:
    """`h w 3` uint8 with its shorter side `short` pixels long: area averaging down, cubic up."""
    height, width = frame.shape[:2]
    scale = short / min(height, width)
    size = (round(width * scale), round(height * scale))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def to_signed(video: Tensor) -> Tensor:
    """uint8 pixels -> float32 in [-1, 1], the range of the VAEs."""
    return video.float() / 127.5 - 1.0


def _render(config: DataConfig, held_out: bool) -> Clips:
    """The project's own clip from several seeds, a few frames longer than a sample."""
    seeds = (
        range(RENDERED_VALIDATION) if held_out else range(RENDERED_VALIDATION, RENDERED_VALIDATION + RENDERED_TRAINING)
    )
    arrays = []
    for seed in seeds:
        sides = []
        for short in config.short_sides:
            size = {"height": short, "width": short * RENDERED_SIDES[0] // RENDERED_SIDES[1]}
            sides.append(np.stack(list(render_sample_clip(frames=config.frames + 8, seed=seed, **size))))
        arrays.append(sides)
    return Clips([f"rendered {seed}" for seed in seeds], arrays)
