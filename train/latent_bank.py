"""Pairs of clean and upsampled latents, encoded once: training the transformer then costs the transformer alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from .data import ClipDataset, to_signed

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Video `1 3 f h w` in [-1, 1] -> (clean, upsampled), `1 c t h w` each."""


class LatentBank(Dataset):
    """Samples `{"clean": c t h w, "upsampled": c t h w, "noise_seed"}`; item k is sample k of the run, for any k.

    Every clip is cut into pieces of `data.frames` frames, each encoded from its own first frame on, so that the latent
    frame that stands for one picture is met as often as the others.
    """

    def __init__(self, clips: ClipDataset, encode: Encode, *, key: str, spatial: int) -> None:
        """Encode what is not in the cache yet.

        Args:
            clips: the decoded clips.
            encode: makes the pair; whole pieces are encoded, samples are cut out of them.
            key: names the weights behind `encode`; other weights, other files.
            spatial: pixels of a latent cell.
        """
        self.config, self.seed = clips.config, clips.seed
        self.cells = clips.config.crop // spatial
        digest = hashlib.sha256((key + json.dumps(asdict(clips.config))).encode()).hexdigest()[:12]
        folder = Path(clips.config.cache) / f"latents-{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        frames = clips.config.frames
        jobs = [
            (folder / f"{c:03d}-{s}-{start:05d}.npy", arrays[s], start)
            for c, arrays in enumerate(clips.clips)
            for s in range(len(arrays))
            for start in range(0, len(arrays[s]) - frames + 1, frames)
        ]
        for path, array, start in tqdm(jobs, desc="latents", unit="piece", mininterval=5):
            if not path.is_file():
                _store(path, array[start : start + frames], encode, spatial)
        # clip -> short side -> pieces, so that clips count the same whatever their length
        self.pieces: list[list[list[np.ndarray]]] = [[[] for _ in arrays] for arrays in clips.clips]
        for path, _, _ in jobs:
            clip, short, _ = path.stem.split("-")
            self.pieces[int(clip)][int(short)].append(np.load(path, mmap_mode="r"))

    def __getitem__(self, k: int) -> dict[str, Tensor]:
        random = np.random.default_rng([self.seed, k])
        shorts = self.pieces[random.integers(len(self.pieces))]
        pieces = shorts[random.integers(len(shorts))]
        pair = pieces[random.integers(len(pieces))]  # 2 c t h w
        top, left = (int(random.integers((n - self.cells) // 2 + 1)) * 2 for n in pair.shape[-2:])
        cut = pair[..., top : top + self.cells, left : left + self.cells]
        clean, upsampled = torch.from_numpy(np.ascontiguousarray(cut)).float()
        return {"clean": clean, "upsampled": upsampled, "noise_seed": torch.tensor(int(random.integers(2**63)))}


@torch.no_grad()
def _store(path: Path, frames: np.ndarray, encode: Encode, spatial: int) -> None:
    """Encode one piece, its sides cut to whole low-resolution cells, and write it as float16 `2 c t h w`."""
    height, width = (n // (2 * spatial) * (2 * spatial) for n in frames.shape[1:3])
    pixels = torch.from_numpy(np.ascontiguousarray(frames[:, :height, :width].transpose(3, 0, 1, 2)))
    pair = torch.cat(encode(to_signed(pixels)[None]))
    partial = path.with_suffix(".partial.npy")
    np.save(partial, pair.half().numpy())
    partial.replace(path)
