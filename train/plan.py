"""The stateless data plan: sample k of a run is a function of (seed, k) alone, group g of (seed, g).

A run that stops and goes on needs only `{seed, step}`: nothing about loaders, workers or random states is saved, and
who computes a sample (which worker, which rank) cannot change it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .fit_config import TASKS, DataConfig

GROUP = 2**32
"""Key of the groups' randomness (and the next for buckets); numbers of samples stay below it."""


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


@dataclass(frozen=True, kw_only=True)
class GroupPlan:
    """What the samples of one forward pass share, so that they can be stacked.

    Attributes:
        task: "t2v", "multi_id" or "edit".
        images: ID pictures of each sample.
        video: whether each has a reference video.
        dropped: whether its references are left out (the null condition of guidance).
    """

    task: str
    images: int
    video: bool
    dropped: bool

    @property
    def has_references(self) -> bool:
        """Whether the model sees references."""
        return not self.dropped and (self.images > 0 or self.video)


def plan_group(seed: int, g: int, config: DataConfig) -> GroupPlan:
    """Group number g of the run with this seed: task by the weights of `data.tasks`, references, dropout (U 3.4)."""
    random = group_generator(seed, g)
    names = [name for name in TASKS if config.tasks.get(name, 0) > 0]
    weights = np.array([config.tasks[name] for name in names], dtype=np.float64)
    edges = np.cumsum(weights / weights.sum())
    task = names[min(int(np.searchsorted(edges, random.random(), side="right")), len(names) - 1)]
    images = int(random.integers(1, config.references.most_images + 1))
    dropped = bool(random.random() < config.references.drop)
    return GroupPlan(
        task=task,
        images=images if task == "multi_id" else 0,
        video=task == "edit",
        dropped=dropped and task != "t2v",
    )


def group_generator(seed: int, g: int, part: int = 0) -> np.random.Generator:
    """Randomness of group g, apart from that of every sample; `part` 0 is the plan's, 1 the bucket's."""
    return np.random.default_rng([seed, GROUP + part, g])


def group_samples(g: int, size: int) -> range:
    """Numbers of the samples of group g."""
    return range(g * size, (g + 1) * size)
