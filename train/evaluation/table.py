"""Rows of results with their figures, and means over clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .metric import Column, Figure, Figures, Missing


@dataclass(eq=False)
class Table:
    """Figures of every way to a clip (row) on every clip.

    Attributes:
        columns: what was measured, or should have been.
        rows: row -> clip -> column name -> figure.
    """

    columns: list[Column]
    rows: dict[str, dict[str, Figures]] = field(default_factory=dict)

    @property
    def clips(self) -> list[str]:
        """Names of the clips."""
        return list(dict.fromkeys(clip for clips in self.rows.values() for clip in clips))

    def mean(self, row: str) -> Figures:
        """Mean of a row over its clips. What is missing on some clips has none: rows would not compare."""
        return {column.name: _mean([clip[column.name] for clip in self.rows[row].values()]) for column in self.columns}


def _mean(figures: Sequence[Figure]) -> Figure:
    reasons = list(dict.fromkeys(figure.reason for figure in figures if isinstance(figure, Missing)))
    if not reasons:
        return float(np.mean(figures))
    count = sum(isinstance(figure, Missing) for figure in figures)
    if count == len(figures) and len(reasons) == 1:
        return Missing(reasons[0])
    return Missing(f"missing on {count} of {len(figures)} clips: {'; '.join(reasons)}")
