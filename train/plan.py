"""The stateless data plan: sample k of a run is a function of (seed, k) alone.

A run that stops and goes on needs only `{seed, step}`: nothing about loaders, workers or random states is saved, and
who computes a sample (which worker, which rank) cannot change it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .config import DataConfig


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Where sample k is cut: clip and short side by index, first frame, corner in pixels; and the seed of its noise."""

    clip: int
    short_side: int
    start: int
    top: int
    left: int
    side: int
    flip: bool
    halve: bool
    noise_seed: int


def plan_sample(seed: int, k: int, config: DataConfig, shapes: list[list[tuple[int, int, int]]]) -> Sample:
    """Sample number k (0, 1, ...) of the run with this seed.

    Args:
        seed: seed of the run.
        k: number of the sample, counted over the whole run.
        config: the data section.
        shapes: for each clip and short side (frames, height, width).
    """
    random = np.random.default_rng([seed, k])
    clip = int(random.integers(len(shapes)))
    short = int(random.integers(len(config.short_sides)))
    frames, height, width = shapes[clip][short]
    halve = bool(random.random() < config.halve)
    side = config.crop * (2 if halve else 1)
    return Sample(
        clip=clip,
        short_side=short,
        start=int(random.integers(max(frames - config.frames, 0) + 1)),
        top=int(random.integers(height - side + 1)),
        left=int(random.integers(width - side + 1)),
        side=side,
        flip=bool(random.random() < 0.5),
        halve=halve,
        noise_seed=int(random.integers(2**63)),
    )


@dataclass(frozen=True)
class BatchPlan:
    """Batches of sample numbers from `first_step` to `steps`, for `DataLoader(batch_sampler=...)`."""

    batch: int
    first_step: int
    steps: int

    def __len__(self) -> int:
        return self.steps - self.first_step

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first_step, self.steps):
            yield list(range(step * self.batch, (step + 1) * self.batch))
