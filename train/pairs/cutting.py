"""Where the samples of a clip are, at which size, and the frames of one sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

from .config import CutConfig

T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Cut:
    """One sample of a clip: `length` frames from `start` on, and the frame outside it that is its reference."""

    length: int
    start: int
    reference: int | None

    @property
    def end(self) -> int:
        """The first frame after it."""
        return self.start + self.length


def plan_cuts(clip_number: int, frames: int, config: CutConfig, seed: int) -> list[Cut]:
    """The samples of a clip, sorted by length and start.

    Args:
        clip_number: stands for the clip; with the seed, the length and the start it decides the reference.
        frames: of the clip.
        config: the cut section.
        seed: of the run.
    """
    cuts = []
    for length in sorted(config.lengths):
        starts = range(0, frames - length + 1, config.stride or length)
        for start in _spread(starts, config.most):
            outside = frames - length
            reference = None
            if config.references and outside:
                random = np.random.default_rng([seed, clip_number, length, start])
                place = int(random.integers(outside))
                reference = place if place < start else place + length
            cuts.append(Cut(length, start, reference))
    return cuts


def _spread(values: Sequence[T], most: int) -> list[T]:
    """At most `most` of the values, evenly over all of them."""
    if len(values) <= most:
        return list(values)
    return [values[int((k + 0.5) * len(values) / most)] for k in range(most)]


def choose_bucket(width: int, height: int, config: CutConfig) -> tuple[int, int] | None:
    """The bucket (width, height) whose shape is nearest, the largest of those; None when the clip covers none."""
    covered = [b for b in config.buckets if config.enlarge or (b[0] <= width and b[1] <= height)]
    if not covered:
        return None

    def distance(bucket: tuple[int, ...]) -> tuple[float, int]:
        return abs(math.log(bucket[0] / bucket[1]) - math.log(width / height)), -bucket[0] * bucket[1]

    bucket = min(covered, key=distance)
    return bucket[0], bucket[1]


def fit(frame: np.ndarray, bucket: tuple[int, int], *, is_mask: bool = False) -> np.ndarray:
    """A frame `h w ...` at the size of the bucket: made smaller until it just covers it, the centre cut out."""
    width, height = bucket
    scale = max(width / frame.shape[1], height / frame.shape[0])
    size = (max(round(frame.shape[1] * scale), width), max(round(frame.shape[0] * scale), height))
    how = cv2.INTER_NEAREST if is_mask else cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    if size != (frame.shape[1], frame.shape[0]):
        frame = cv2.resize(frame, size, interpolation=how)
    top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return np.ascontiguousarray(frame[top : top + height, left : left + width])
