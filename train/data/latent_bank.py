"""Latents of every piece of every clip, encoded once: training the transformer then costs the transformer alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..fit_config import DataConfig
from .clips import Clips, to_signed

Encode = Callable[[Tensor], dict[str, Tensor]]
"""Video `1 3 f h w` in [-1, 1] -> latents by name, `1 c t h w` each: "clean", and "condition" on the same grid or
"low" on one of half the size."""


@dataclass(frozen=True)
class Piece:
    """A piece of a clip: its first frame, and its latents by name, float16 `c t h w`."""

    start: int
    latents: dict[str, np.ndarray]


class LatentBank:
    """Every clip cut into pieces of `data.frames` frames, each encoded from its own first frame on, so that the latent
    frame that stands for one picture is met as often as the others.

    Attributes:
        pieces: clip -> short side -> pieces, so that clips count the same whatever their length.
    """

    def __init__(self, clips: Clips, config: DataConfig, encode: Encode, *, key: str, multiple: int) -> None:
        """Encode what is not in the cache yet.

        Args:
            clips: decoded.
            config: of the data.
            encode: makes the latents.
            key: names the weights behind `encode`; other weights, other files.
            multiple: pixels; the sides of a piece are cut to multiples of it.
        """
        digest = hashlib.sha256(json.dumps([key, config.frames, multiple]).encode()).hexdigest()[:12]
        folder = Path(config.cache) / f"latents-{digest}" if config.cache else None
        jobs = [
            (clip, side, start)
            for clip, arrays in enumerate(clips.arrays)
            for side in range(len(arrays))
            for start in range(0, len(arrays[side]) - config.frames + 1, config.frames)
        ]
        self.pieces: list[list[list[Piece]]] = [[[] for _ in arrays] for arrays in clips.arrays]
        for clip, side, start in tqdm(jobs, desc="latents", unit="piece", mininterval=5):
            frames = clips.arrays[clip][side][start : start + config.frames]
            name = f"{Path(clips.names[clip]).stem}-{config.short_sides[side]}-{start:05d}"
            latents = _encoded(frames, encode, multiple, folder and folder / name)
            self.pieces[clip][side].append(Piece(start, latents))


@torch.no_grad()
def _encoded(frames: np.ndarray, encode: Encode, multiple: int, target: Path | None) -> dict[str, np.ndarray]:
    """Latents of one piece: from its folder if that is there, else encoded, and kept there."""
    if target is None or not target.is_dir():
        height, width = (n // multiple * multiple for n in frames.shape[1:3])
        pixels = torch.from_numpy(np.ascontiguousarray(frames[:, :height, :width].transpose(3, 0, 1, 2)))
        latents = {name: latent[0].half().cpu().numpy() for name, latent in encode(to_signed(pixels)[None]).items()}
        if target is None:
            return latents
        partial = target.with_name(target.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        for name, latent in latents.items():
            np.save(partial / f"{name}.npy", latent)
        partial.rename(target)
    return {path.stem: np.load(path, mmap_mode="r") for path in sorted(target.glob("*.npy"))}
