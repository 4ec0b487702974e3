"""Multi-condition classifier-free guidance with a reference threshold (U A.3, eq. 2 and 3).

    v = v(txt, ref) + s_txt (v(txt, ref) - v(null, ref)) + s_ref [step < n_ref] (v(txt, ref) - v(txt, null))

A scale of 0 is off, so s_txt = 3.0 is what is elsewhere called a CFG of 4.0. A term that is off, or whose condition the
run does not have, costs no model evaluation: 50 steps with the defaults are 50 + 50 + 15 = 115 evaluations, not 150.

Throughout, a prediction is named by the pair `(text, references)`: which of the two conditions the model was given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from .flow import compute_dtype

Conditions = tuple[bool, bool]
"""`(text, references)`: True where the model is given the condition, False where it is given the null one."""


@dataclass(frozen=True, kw_only=True)
class MultiGuidance:
    """Scales of the guidance. Defaults are those of U A.3.

    Attributes:
        s_txt: text guidance, at least 0; 0 is off. 3.0 equals a conventional CFG scale of 4.0.
        s_ref: reference guidance, at least 0; 0 is off.
        n_ref: the reference term acts in steps 0 .. n_ref - 1; later it would over-sharpen (U eq. 3).
    """

    s_txt: float = 3.0
    s_ref: float = 1.0
    n_ref: int = 15

    def __post_init__(self) -> None:
        for name, scale in (("s_txt", self.s_txt), ("s_ref", self.s_ref)):
            if not (math.isfinite(scale) and scale >= 0):
                raise ValueError(f"{name} is {scale}, expected a finite number of at least 0: use 0 for no guidance")
        if self.n_ref < 0:
            raise ValueError(f"n_ref is {self.n_ref}, expected at least 0: use 0 for no reference guidance")

    def validate(self, num_steps: int) -> None:
        """Raises ValueError if a run of `num_steps` ends before the reference guidance would."""
        if self.n_ref > num_steps:
            raise ValueError(
                f"reference guidance is set for the first {self.n_ref} steps (n_ref) but the run has only {num_steps}: "
                f"lower n_ref to at most {num_steps} or raise the number of steps to at least {self.n_ref}"
            )

    def evaluations(self, step: int, *, has_text: bool, has_references: bool) -> tuple[Conditions, ...]:
        """The predictions that `combine` needs at `step` (from 0), the main one first.

        Args:
            step: index of the sampling step.
            has_text: whether the run has a prompt; without one the main prediction has the null text.
            has_references: whether the run has references; without them the main prediction is `(has_text, False)`.
        """
        needed = [(has_text, has_references)]
        if has_text and self.s_txt > 0:
            needed.append((False, has_references))
        if has_references and self.s_ref > 0 and step < self.n_ref:
            needed.append((has_text, False))
        return tuple(needed)

    def combine(
        self, predictions: Mapping[Conditions, Tensor], step: int, *, has_text: bool, has_references: bool
    ) -> Tensor:
        """The guided velocity of `step`, U eq. 2, computed in float32 and returned in the predictions' dtype.

        Args:
            predictions: velocities of one shape, at least those that `evaluations` names for the same arguments.
            step: as for `evaluations`.
            has_text: as for `evaluations`.
            has_references: as for `evaluations`.
        """
        main_conditions, *null_conditions = self.evaluations(step, has_text=has_text, has_references=has_references)
        main = predictions[main_conditions]
        exact = main.to(compute_dtype(main))
        guided = exact
        for conditions in null_conditions:
            # The two null predictions differ from the main one in exactly one condition.
            scale = self.s_txt if conditions[0] != main_conditions[0] else self.s_ref
            guided = guided + scale * (exact - predictions[conditions].to(exact.dtype))
        return guided.to(main.dtype)


def guided(
    predict: Callable[[bool, bool], Tensor],
    guidance: MultiGuidance,
    step: int,
    has_text: bool,
    has_references: bool,
) -> Tensor:
    """The guided velocity of one step, calling `predict` only for the predictions that the step needs.

    Args:
        predict: `predict(text, references)` evaluates the model with the named conditions and returns a velocity.
        guidance: the scales.
        step: index of the sampling step, from 0.
        has_text: whether the run has a prompt.
        has_references: whether the run has references.
    """
    needed = guidance.evaluations(step, has_text=has_text, has_references=has_references)
    predictions = {conditions: predict(*conditions) for conditions in needed}
    return guidance.combine(predictions, step, has_text=has_text, has_references=has_references)
