"""Randomness of a batch, drawn sample by sample from the plan's seeds: the same noise whoever computes the sample."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_generators(seeds: Tensor) -> list[torch.Generator]:
    """One CPU generator for each sample of a batch; `seeds` is int64 `b`."""
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]


def batch_noise(seeds: Tensor | list[torch.Generator], shape: torch.Size, device: torch.device) -> Tensor:
    """Standard normal `b *shape` in float32 from the samples' seeds, or from generators that are already under way."""
    generators = seeds if isinstance(seeds, list) else sample_generators(seeds)
    return torch.stack([torch.randn(shape, generator=g) for g in generators]).to(device)
