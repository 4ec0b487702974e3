"""What a run will cost, for the line on Latent Cascade Upsample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from ..gvr_core.attention import AttentionConfig
from ..gvr_core.bench.advice import advise
from ..gvr_core.bench.cost import (
    Clip,
    FormCost,
    Job,
    Machine,
    Stretch,
    form_costs,
    guided_evaluations,
    plan_target,
    stretches_of,
)
from ..gvr_core.geometry import MAX_SIDE, latent_space
from . import host
from .attention import UNIT, parse_blocks
from .calibration import calibration_for
from .cascade import TARGETS
from .checkpoint_facts import Facts, checkpoint_facts
from .choices import check_choice
from .questions import flag, integer, number, part
from .sampler_calls import UNKNOWN, calls_per_step
from .sigmas import MOST_STEPS, guidance_of

MOST_FRAMES = 100000
OTHER_SPACE = "wan21"
"""Where no cascade is connected: Wan's strides, which HunyuanVideo shares."""


def answer_cost(question: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes, tokens, evaluations, time and memory of each form of attention, warnings and suggestions.

    Args:
        question: `source` {frames, height, width} of the low-resolution video, `before` [{target, scale}] of upsample
            nodes in front of this one, `target` and `scale` of this one; `checkpoint` and `weight_dtype`; `attention`,
            the widgets of a Sparse Local Attention node; `references` {images, video_frames}; `sampler` {kind, ...
            its widgets}; `tile_size` of the decoder.

    Returns:
        `source`, `output`, and where a checkpoint is known `tokens`, `grid`, `references`, `evaluations`, `steps`,
        `stretches`, `forms`, `calibrated`, `runs`, `device`, `memory`, `fits`, `warnings`, `suggestions`, `assumed`.

    Raises:
        ValueError: impossible sizes or values, an unknown checkpoint.
    """
    facts = None
    if question.get("checkpoint"):
        facts = checkpoint_facts(str(question["checkpoint"]), str(question.get("weight_dtype") or "default"))
    space = facts.config.space if facts else OTHER_SPACE
    source = _source(question, space)
    target, scale = _target(question)
    answer: dict[str, Any] = {"source": vars(source)}
    if facts is None:
        plan = plan_target(space, source, target, scale)
        output = Clip(frames=source.frames, height=plan.height, width=plan.width)
        note = "time and memory are told for a cascade: none is connected to model"
        return {**answer, "output": vars(output), "forms": None, "assumed": [note]}
    references = _references(question, facts)
    stretches, assumed = _stretches(question, facts, references)
    job = Job(
        config=facts.config,
        source=source,
        target=target,
        scale=scale,
        references=references,
        with_references=sum(stretch.steps * stretch.with_references for stretch in stretches),
        without_references=sum(
            stretch.steps * (stretch.evaluations - stretch.with_references) for stretch in stretches
        ),
        compute_dtype=facts.compute_dtype,
        weight_bytes=facts.weight_bytes,
        tile_decode=_tiles(question),
    )
    job, note = _with_attention(job, question)
    assumed += note
    device = host.computing_device()
    observed, is_exact = calibration_for(device, facts.compute_dtype, facts.config.dim)
    calibration = None if observed is None else observed.calibration
    is_cpu = device.type == "cpu"
    free = host.free_memory(device)
    machine = Machine(
        device_bytes=free, main_bytes=free if is_cpu else host.free_memory(torch.device("cpu")), is_cpu=is_cpu
    )
    advice = advise(job, machine, calibration)
    return {
        **answer,
        "output": vars(job.output),
        "tokens": job.grid.length,
        "grid": [job.grid.frames, job.grid.height, job.grid.width],
        "references": references,
        "steps": sum(stretch.steps for stretch in stretches),
        "evaluations": job.evaluations,
        "stretches": [[stretch.steps, stretch.evaluations] for stretch in stretches],
        "forms": [_form(cost) for cost in form_costs(job, calibration, is_exact=is_exact)],
        "calibrated": calibration is not None,
        "runs": observed.runs if observed else 0,
        "device": device.type,
        "dtype": facts.compute_dtype,
        "memory": free,
        "fits": advice.fits,
        "warnings": list(advice.warnings),
        "suggestions": list(advice.suggestions),
        "assumed": assumed,
    }


def _form(cost: FormCost) -> dict[str, Any]:
    return {
        "form": cost.form,
        "used": cost.is_used,
        "seconds": None if cost.seconds is None else float(f"{cost.seconds:.4g}"),
        "rough": cost.is_rough,
        "flops": cost.flops,
        "bytes": cost.peak_bytes,
    }


def _source(question: Mapping[str, Any], space: str) -> Clip:
    """The video that comes in, after the upsample nodes before."""
    given = part(question, "source")
    if given is None:
        raise ValueError("the size of the input is not known")
    clip = Clip(
        frames=integer(given, "frames", 1, MOST_FRAMES),
        height=integer(given, "height", 1, MAX_SIDE),
        width=integer(given, "width", 1, MAX_SIDE),
    )
    before = question.get("before") or []
    if not isinstance(before, list) or len(before) > 8 or not all(isinstance(stage, Mapping) for stage in before):
        raise ValueError("before is no list of at most 8 objects with target and scale")
    for stage in before:
        plan = plan_target(space, clip, *_target(stage))
        clip = Clip(frames=clip.frames, height=plan.height, width=plan.width)
    return clip


def _target(question: Mapping[str, Any]) -> tuple[str, float]:
    target = str(question.get("target", "scale"))
    check_choice("target", target, TARGETS)
    return target, number(question, "scale", 1.0, 8.0, 2.0)


def _references(question: Mapping[str, Any], facts: Facts) -> int:
    """Latent frames of references."""
    given = part(question, "references")
    if given is None:
        return 0
    frames = integer(given, "video_frames", 0, MOST_FRAMES, 0)
    ranges, space = facts.config.reference_ranges, latent_space(facts.config.space)
    images = min(integer(given, "images", 0, 1000, 0), ranges.max_images)
    return images + (min(space.latent_frames(frames), ranges.max_video) if frames else 0)


def _stretches(question: Mapping[str, Any], facts: Facts, references: int) -> tuple[list[Stretch], list[str]]:
    """Evaluations of the sampler that follows; the checkpoint's own steps where none is known."""
    sampler = part(question, "sampler")
    has_text = facts.config.text_dim > 0
    if sampler is None:
        steps = facts.header.inference.num_steps
        return [Stretch(steps=steps, evaluations=1, with_references=min(1, references))], [
            f"no sampler is connected: {steps} evaluations, as the checkpoint was made for"
        ]
    steps, name = integer(sampler, "steps", 1, MOST_STEPS), str(sampler.get("sampler_name") or "euler")
    calls = calls_per_step(name, steps)
    notes = [f"{name} chooses its evaluations by itself"] if name in UNKNOWN else []
    if sampler.get("kind") == "multi":
        stretches = guided_evaluations(
            guidance_of(sampler),
            calls,
            has_text=has_text,
            has_references=references > 0,
            empty_references=sampler.get("null_reference") == "zeros",
        )
        return stretches, notes
    # ComfyUI's own guidance asks twice, except at cfg 1.
    times = 1 if number(sampler, "cfg", 0.0, 1000.0, 1.0) == 1.0 else 2
    seen = min(1, references)
    return stretches_of((times * len(asked), times * len(asked) * seen) for asked in calls), notes


def _tiles(question: Mapping[str, Any]) -> bool | None:
    if question.get("tile_size") is None:
        return None
    return integer(question, "tile_size", 0, 100000) > 0


def _with_attention(job: Job, question: Mapping[str, Any]) -> tuple[Job, list[str]]:
    """The job with the form that a Sparse Local Attention node puts into the model."""
    given = part(question, "attention")
    if given is None:
        return job, []
    least = integer(given, "min_tokens", 0, 10000000, 4096)
    target = replace(job, references=0).grid
    if target.length < least:
        return job, [f"Sparse Local Attention does nothing: {target.length:,} tokens are fewer than its min_tokens"]
    config = AttentionConfig(
        kind="sparse_local",
        window=(integer(given, "window_height", 1, 512, 9), integer(given, "window_width", 1, 512, 12)),
        top_k=integer(given, "top_k", 0, 100000, 8),
        unit=UNIT if flag(given, "temporal_units", False) else 0,
        dense_layers=parse_blocks(str(given.get("dense_blocks") or "")),
    )
    start, end = number(given, "start_percent", 0.0, 1.0, 0.0), number(given, "end_percent", 0.0, 1.0, 1.0)
    changed = replace(job.config, attention=config)
    return replace(job, config=changed, own=job.config.attention, sparse_share=max(0.0, end - start)), []
