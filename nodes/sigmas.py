"""The schedule of a sampler node before it runs: the sigmas that it will use, and what each step costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..gvr_core.bench.cost import Stretch, guided_evaluations
from ..gvr_core.guidance import MultiGuidance
from ..gvr_core.schedules import DetailTable, make_sigmas
from . import host
from .checkpoint_facts import Facts, checkpoint_facts
from .questions import integer, number
from .sampler_calls import UNKNOWN, calls_per_step
from .schedules import partial_schedule

MOST_STEPS = 10000
SOURCES = ("multi", "partial", "detail", "basic", "none")
"""Who makes the sigmas: the Multi-CFG Sampler, Partial Sigmas, Detail-Aware Sigmas, ComfyUI's BasicScheduler, or
nobody that is known."""
CONDITIONS = ("yes", "no", "unknown")


def answer_sigmas(question: Mapping[str, Any]) -> dict[str, Any]:
    """Sigmas and evaluations of a sampler.

    Args:
        question: `source` (of `SOURCES`), its widgets `scheduler`, `steps`, `denoise` (alpha or start of the others),
            `sampler_name`, `shift`; `checkpoint`, where it is known; `s_txt`, `s_ref`, `n_ref`, `null_reference`;
            `references` and `text` ("yes", "no" or "unknown").

    Returns:
        `sigmas` (None where they are not known), `shift` and `shift_source` ("widget", "checkpoint" or "assumed"),
        `stretches` `[[steps, evaluations], ...]`, `steps`, `evaluations`, `has_references`, `assumed` (sentences) and
        `problem` (a sentence, or None).

    Raises:
        ValueError: a value that no widget could have.
    """
    source = str(question.get("source", "multi"))
    if source not in SOURCES:
        raise ValueError(f"source is {source!r}, expected one of {', '.join(SOURCES)}")
    facts, missing = _facts(question)
    shift, shift_source = _shift(question, facts)
    answer: dict[str, Any] = {"shift": shift, "shift_source": shift_source, "sigmas": None, "problem": None}
    steps = None
    if source != "none":
        sigmas = schedule(source, question, facts, shift)
        answer["sigmas"] = [round(value, 5) for value in sigmas.tolist()]
        steps = len(sigmas) - 1
    assumed = [missing] if missing else []
    if shift_source == "assumed" and source in ("multi", "partial", "basic"):
        assumed.append("shift 1 is drawn: the model's own is known once it is loaded")
    stretches, problem, notes, has_references = _evaluations(question, facts, steps)
    return {
        **answer,
        "steps": steps,
        "stretches": [[stretch.steps, stretch.evaluations] for stretch in stretches],
        "evaluations": sum(stretch.steps * stretch.evaluations for stretch in stretches),
        "has_references": has_references,
        "assumed": [*assumed, *notes],
        "problem": problem,
    }


def schedule(source: str, question: Mapping[str, Any], facts: Facts | None, shift: float) -> Tensor:
    """The sigmas that the node of `source` makes of its widgets, `(steps + 1,)`."""
    steps = integer(question, "steps", 1, MOST_STEPS)
    denoise = number(question, "denoise", 0.0, 1.0, 1.0)
    scheduler = str(question.get("scheduler", "simple"))
    if source == "detail":
        table = None if facts is None else facts.header.statistics.get("detail_table")
        if table is None:
            raise ValueError("the checkpoint has no detail table, which Detail-Aware Sigmas needs")
        return make_sigmas(steps, start=denoise, table=DetailTable.from_dict(table))
    model = host.Schedule(shift)
    if source != "basic":
        sampler = str(question.get("sampler_name", "euler")) if source == "multi" else "euler"
        return partial_schedule(model, scheduler, steps, denoise, sampler=sampler)
    # BasicScheduler's own rule: the last part of a longer schedule.
    if denoise <= 0:
        return torch.zeros(1)
    whole = steps if denoise >= 1 else int(steps / denoise)
    return host.calculate_sigmas(model, scheduler, whole)[-(steps + 1) :]


def guidance_of(question: Mapping[str, Any]) -> MultiGuidance:
    """The guidance of a Multi-CFG node's widgets."""
    return MultiGuidance(
        s_txt=number(question, "s_txt", 0.0, 1000.0),
        s_ref=number(question, "s_ref", 0.0, 1000.0),
        n_ref=integer(question, "n_ref", 0, MOST_STEPS),
    )


def _facts(question: Mapping[str, Any]) -> tuple[Facts | None, str]:
    """The checkpoint, or None and why."""
    checkpoint = question.get("checkpoint")
    if not checkpoint:
        return None, ""
    try:
        return checkpoint_facts(str(checkpoint)), ""
    except ValueError as error:
        return None, f"nothing is known of the checkpoint: {error}"


def _shift(question: Mapping[str, Any], facts: Facts | None) -> tuple[float, str]:
    shift = number(question, "shift", 0.0, 100.0, 0.0)
    if shift > 0:
        return shift, "widget"
    return (1.0, "assumed") if facts is None else (facts.header.inference.shift, "checkpoint")


def _evaluations(
    question: Mapping[str, Any], facts: Facts | None, steps: int | None
) -> tuple[list[Stretch], str | None, list[str], bool]:
    """Stretches, a problem, what is assumed, and whether there are references."""
    has_references, unsure = _condition(question, "references")
    notes = []
    if facts is not None:
        has_text = facts.config.text_dim > 0
    else:
        has_text, _ = _condition(question, "text")
        notes.append("a checkpoint with text is assumed" if has_text else "a checkpoint without text is assumed")
    if unsure:
        notes.append(f"{'with' if has_references else 'without'} references, as far as can be seen")
    guidance = guidance_of(question)
    acts = has_references and guidance.s_ref > 0
    problem = None
    if acts and steps is not None:
        try:
            guidance.validate(steps)
        except ValueError as error:
            problem = str(error)
    if steps is None:
        # As long as the window, and one step behind it: what a run of unknown length begins with.
        calls = [[step] for step in range(guidance.n_ref + 1 if acts else 1)]
        stretches = guided_evaluations(guidance, calls, has_text=has_text, has_references=has_references)
        return stretches, None, notes, has_references
    sampler = str(question.get("sampler_name") or "euler")
    if sampler in UNKNOWN:
        notes.append(f"{sampler} chooses its evaluations by itself")
    stretches = guided_evaluations(
        guidance, calls_per_step(sampler, steps), has_text=has_text, has_references=has_references
    )
    return stretches, problem, notes, has_references


def _condition(question: Mapping[str, Any], name: str) -> tuple[bool, bool]:
    """Whether there is one, and whether that is a guess: text is guessed to be there, references not."""
    value = str(question.get(name) or "unknown")
    if value not in CONDITIONS:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(CONDITIONS)}")
    return (name == "text", True) if value == "unknown" else (value == "yes", False)
