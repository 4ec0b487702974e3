"""What the processes of a run tell each other in every step, and what becomes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class StepReport:
    """One process's part of a step; small, it goes to every other process before the optimiser may step.

    Attributes:
        losses: of its groups.
        figures: of its groups, by name; a name may be missing from some.
        norm: of the gradient, before clipping.
        tokens: of its samples that went through the transformer.
        flops: of the model for them, forward and backward.
        stop: the signal that it got, None for none.
        waited: seconds in which it waited for samples.
        memory: its largest use so far, bytes.
    """

    losses: list[float] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)
    norm: float = 0.0
    tokens: int = 0
    flops: float = 0.0
    stop: str | None = None
    waited: float = 0.0
    memory: int = 0

    def add(self, loss: float, figures: dict[str, float]) -> None:
        """Take in a group."""
        self.losses.append(float(loss))
        for name, value in figures.items():
            self.figures.setdefault(name, []).append(float(value))

    @property
    def is_finite(self) -> bool:
        """Whether the optimiser may use these gradients."""
        return all(map(math.isfinite, [*self.losses, self.norm]))


def merge(reports: Sequence[StepReport]) -> StepReport:
    """The step as a whole, the same on every process: lists joined, amounts summed, the worst of the rest."""
    whole = StepReport(
        losses=[loss for report in reports for loss in report.losses],
        norm=max((report.norm for report in reports), key=_nan_is_largest),
        tokens=sum(report.tokens for report in reports),
        flops=sum(report.flops for report in reports),
        stop=next((report.stop for report in reports if report.stop), None),
        waited=max(report.waited for report in reports),
        memory=max(report.memory for report in reports),
    )
    for report in reports:
        for name, values in report.figures.items():
            whole.figures.setdefault(name, []).extend(values)
    return whole


def mean(values: Sequence[float]) -> float:
    """Their mean; not finite where one is not."""
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan


def _nan_is_largest(value: float) -> float:
    return math.inf if math.isnan(value) else value
