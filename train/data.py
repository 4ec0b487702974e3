"""Clips on disk -> samples: decoded once into memory-mapped arrays, then cut by the plan."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gvr_core.video import VideoReader

from .config import DataConfig
from .plan import plan_sample

log = logging.getLogger("gvr")

SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif"}


def resize_short_side(frame: np.ndarray, short: int) -> np.ndarray:
    """`h w 3` uint8 with its shorter side `short` pixels long: area averaging down, cubic up."""
    height, width = frame.shape[:2]
    scale = short / min(height, width)
    size = (round(width * scale), round(height * scale))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


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


class ClipDataset(Dataset):
    """Samples `{"video": c f h w uint8, "noise_seed": int64}`; item k is sample k of the run, for any k."""

    def __init__(self, config: DataConfig, seed: int) -> None:
        root = Path(config.root)
        if not root.is_dir():
            raise ValueError(f"no such folder of clips: {root}: set data.root")
        names = sorted(p for p in root.iterdir() if p.suffix.lower() in SUFFIXES and p.name not in config.validation)
        if not names:
            raise ValueError(f"no clips in {root}: expected files ending in {', '.join(sorted(SUFFIXES))}")
        self.config, self.seed = config, seed
        self.clips: list[list[np.ndarray]] = []
        for path in names:
            arrays = [np.load(cached_clip(path, s, Path(config.cache)), mmap_mode="r") for s in config.short_sides]
            if len(arrays[0]) >= config.frames:
                self.clips.append(arrays)
            else:
                log.warning("%s has %d frames, samples need %d: left out", path.name, len(arrays[0]), config.frames)
        if not self.clips:
            raise ValueError(f"every clip in {root} is shorter than {config.frames} frames: lower data.frames")
        self.shapes = [[array.shape[:3] for array in arrays] for arrays in self.clips]

    def __getitem__(self, k: int) -> dict[str, Tensor]:
        plan = plan_sample(self.seed, k, self.config, self.shapes)
        array = self.clips[plan.clip][plan.short_side]
        video = array[
            plan.start : plan.start + self.config.frames,
            plan.top : plan.top + plan.side,
            plan.left : plan.left + plan.side,
        ]
        if plan.flip:
            video = video[:, :, ::-1]
        if plan.halve:
            half = (self.config.crop, self.config.crop)
            video = np.stack([cv2.resize(f, half, interpolation=cv2.INTER_AREA) for f in np.ascontiguousarray(video)])
        pixels = torch.from_numpy(np.ascontiguousarray(video.transpose(3, 0, 1, 2)))
        return {"video": pixels, "noise_seed": torch.tensor(plan.noise_seed)}


def to_signed(video: Tensor) -> Tensor:
    """uint8 pixels -> float32 in [-1, 1], the range of the VAEs."""
    return video.float() / 127.5 - 1.0
