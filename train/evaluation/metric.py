"""What a metric is: what it sees of a clip, and a figure or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

BETTER = {"higher": "+", "lower": "-", "one": "1"}
"""Direction -> its mark in tables."""


@dataclass(frozen=True)
class Missing:
    """Stands where a number would, when there is none; `reason` tells the user what to do."""

    reason: str


Figure = float | Missing
Figures = dict[str, Figure]
"""Column name -> figure."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One clip to be judged. Clips are `t h w 3` RGB, uint8 or floating point in [0, 1].

    Attributes:
        clip: the result.
        original: the truth, None where there is none.
        source: the low-resolution input, of any size.
        references: ID pictures `h w 3` uint8, of any sizes.
        is_original: whether `clip` is the truth itself, which says nothing when compared.
    """

    clip: np.ndarray
    original: np.ndarray | None = None
    source: np.ndarray | None = None
    references: Sequence[np.ndarray] = field(default_factory=tuple)
    is_original: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the tables.

    Attributes:
        name: in the JSON and on the command line.
        title: for people, with the unit.
        better: "higher", "lower" or "one" (nearer to 1).
        digits: decimals in the table.
        about: what it is, in a sentence with its source.
    """

    name: str
    title: str
    better: str
    digits: int
    about: str


@dataclass(frozen=True, eq=False)
class Metric:
    """A column that is measured clip by clip in this process."""

    column: Column
    measure: Callable[[Sample], Figure]


def measure_all(sample: Sample, metrics: Sequence[Metric]) -> Figures:
    """Every metric of a clip; what is not a number becomes `Missing`, infinity stays."""
    figures: Figures = {}
    for metric in metrics:
        figure = metric.measure(sample)
        if isinstance(figure, float) and math.isnan(figure):
            figure = Missing("not defined for this clip (the computation gave NaN)")
        figures[metric.column.name] = figure
    return figures


def against_original(function: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Sample], Figure]:
    """A function of clip and original as a metric; `Missing` without an original of the same shape."""

    def measure(sample: Sample) -> Figure:
        problem = mismatch(sample)
        return problem or function(sample.clip, sample.original)

    return measure


def share_of_original(function: Callable[[np.ndarray], float]) -> Callable[[Sample], Figure]:
    """A function of one clip as a share of what it gives for the original."""

    def measure(sample: Sample) -> Figure:
        problem = mismatch(sample)
        if problem:
            return problem
        whole = function(sample.original)
        return function(sample.clip) / whole if whole else Missing("the original has none of it, so there is no share")

    return measure


def mismatch(sample: Sample) -> Missing | None:
    """Why the clip cannot be compared with its original, None if it can."""
    if sample.is_original:
        return Missing("it is compared with the original, and this is the original")
    if sample.original is None:
        return Missing("there is no original to compare with")
    if sample.clip.shape != sample.original.shape:
        (t, h, w), (frames, height, width) = sample.clip.shape[:3], sample.original.shape[:3]
        return Missing(
            f"the clip is {w}x{h} with {t} frames, its original {width}x{height} with {frames}: "
            "only equal sizes can be compared"
        )
    return None


def spread(clip: np.ndarray, count: int) -> np.ndarray:
    """Indices of at most `count` frames, evenly spread from the first to the last; all of them for 0."""
    if count == 0 or count >= len(clip):
        return np.arange(len(clip))
    return np.unique(np.linspace(0, len(clip) - 1, count).round().astype(int))
