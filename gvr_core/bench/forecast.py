"""How long a whole sampling run takes: steps, evaluations of the model in each, seconds of an evaluation.

A guided step evaluates the model up to three times (U A.3), a term that is off not at all: `guidance` counts. An
evaluation with the null references has no reference tokens and is cheaper. Not in it: text encoder, autoencoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..guidance import MultiGuidance
from .estimate import FORMS, Form, model_seconds, needed_shares
from .findings import Findings
from .results import Section
from .sizes import with_form


@dataclass(frozen=True, kw_only=True)
class Run:
    """One way to sample.

    Attributes:
        name: for people.
        with_references: evaluations of the model that see the references.
        without_references: the others.
        seconds: of the whole run for each form; None where it is not known.
    """

    name: str
    with_references: int
    without_references: int
    seconds: Mapping[Form, float | None]

    @property
    def evaluations(self) -> int:
        """Of the model."""
        return self.with_references + self.without_references


def default_n_ref(steps: int) -> int:
    """Steps with reference guidance: their share in U, 15 of 50."""
    return round(0.3 * steps)


def count_evaluations(guidance: MultiGuidance, steps: int, *, has_text: bool, has_references: bool) -> tuple[int, int]:
    """Evaluations of a run that see references, and that do not.

    Raises:
        ValueError: no steps, or fewer than have reference guidance.
    """
    if steps < 1:
        raise ValueError(f"number of steps is {steps}, expected at least 1: 50 is the papers' number")
    guidance.validate(steps)
    needed = [
        references
        for step in range(steps)
        for _, references in guidance.evaluations(step, has_text=has_text, has_references=has_references)
    ]
    return sum(needed), len(needed) - sum(needed)


def make_forecast(findings: Findings, model: Section, *, steps: int, n_ref: int) -> list[Run]:
    """Runs without guidance, with text, and with text and references, at the papers' scales.

    Args:
        findings: what was measured.
        model: the section of the model.
        steps: of a run.
        n_ref: steps with reference guidance.

    Raises:
        ValueError: as `count_evaluations`, or a negative `n_ref`.
    """
    has_text, has_references = findings.size.config.text_dim > 0, findings.size.references > 0
    kinds = {"no guidance": (MultiGuidance(s_txt=0.0, s_ref=0.0, n_ref=0), has_references)}
    if has_text:
        kinds["text guidance"] = (MultiGuidance(s_ref=0.0, n_ref=0), has_references)
    name = "text and reference guidance" if has_text else "reference guidance"
    kinds[name] = (MultiGuidance(n_ref=n_ref), True)
    runs = []
    for name, (guidance, sees_references) in kinds.items():
        with_references, without = count_evaluations(guidance, steps, has_text=has_text, has_references=sees_references)
        seconds = {}
        for form in FORMS:
            evaluation = model.rows[form].seconds.value
            if evaluation is not None:
                evaluation *= with_references + without * _share_without_references(findings, form)
            seconds[form] = evaluation
        runs.append(Run(name=name, with_references=with_references, without_references=without, seconds=seconds))
    return runs


def _share_without_references(findings: Findings, form: Form) -> float:
    """Time of an evaluation without reference tokens, of that with them."""
    size, calibration = findings.size, findings.calibration
    config = with_form(size.config, form)
    if not size.references or not needed_shares(config) <= set(calibration.achieved):
        return 1.0
    plain = model_seconds(config, replace(size.grid, references=0), calibration)
    return plain / model_seconds(config, size.grid, calibration)
