"""Seeded noise, drawn for each latent frame on its own.

The noise of frame k depends on the seed, on what it is for and on k, never on how many frames the clip has or in which
pieces it is worked on: windows that overlap agree, and a longer clip starts like the shorter one.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SAMPLING = 0
"""Purpose: the noise that denoising starts from."""
CONDITION = 1
"""Purpose: the noise augmentation of the low-resolution condition, independent of the sampling noise (S 4.1)."""


def check_seed(seed: int) -> None:
    """Raises ValueError for a seed outside 0 .. 2**64 - 1, the range of ComfyUI's seed widgets."""
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}, expected a whole number from 0 to 2**64 - 1")


def frame_noise(like: Tensor, *, seed: int, purpose: int, first_frame: int = 0) -> Tensor:
    """Standard normal noise with the shape, device and dtype of a latent.

    Args:
        like: `b c t h w`; every sample of a batch gets noise of its own.
        seed: 0 to 2**64 - 1.
        purpose: `SAMPLING` or `CONDITION`.
        first_frame: index of the latent's first frame in the whole clip.

    Returns:
        `b c t h w`. Drawn on the CPU in float32, so that every device gets the same numbers.

    Raises:
        ValueError: seed outside its range.
    """
    check_seed(seed)
    batch, channels, frames, height, width = like.shape
    noise = torch.empty(batch, channels, frames, height, width)
    for sample in range(batch):
        for frame in range(frames):
            entropy = [seed, purpose, sample, first_frame + frame]
            mixed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
            # torch seeds are signed: the top bit is dropped.
            generator = torch.Generator().manual_seed(mixed >> 1)
            noise[sample, :, frame] = torch.randn(channels, height, width, generator=generator)
    return noise.to(like)
