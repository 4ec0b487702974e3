"""Whether a run fits, and what to change where it does not; sentences for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..attention import AttentionConfig
from .cost import (
    Job,
    Machine,
    activation_bytes,
    decoded_bytes,
    form_cost,
    smaller_targets,
    weight_bytes,
    whole_decode_bytes,
)
from .estimate import Calibration, form_of
from .sizes import DEFAULT_UNIT, with_form

LONG = 600.0
"""Seconds from which on ways to be faster are told."""
FASTER = 0.8
"""Share of the time that such a way takes at most."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What to say about a job.

    Attributes:
        fits: it will run, as far as is known.
        warnings: sentences, the worst first.
        suggestions: what to change, in the order to try.
    """

    fits: bool
    warnings: tuple[str, ...]
    suggestions: tuple[str, ...]


def advise(job: Job, machine: Machine, calibration: Calibration | None = None) -> Advice:
    """Warnings and suggestions; none of either where everything is fine or nothing is known."""
    problems = list(_problems(job, machine, calibration))
    notes = list(_notes(job, machine, calibration)) if not problems else []
    seconds = form_cost(job, calibration).seconds
    if not problems and (seconds is None or seconds < LONG):
        return Advice(fits=True, warnings=tuple(notes), suggestions=())
    return Advice(
        fits=not problems,
        warnings=(*problems, *notes),
        suggestions=tuple(_suggestions(job, machine, calibration, problems)),
    )


def _problems(job: Job, machine: Machine, calibration: Calibration | None) -> Iterator[str]:
    """Why it will not run."""
    need = activation_bytes(job, calibration) + (weight_bytes(job) if machine.is_cpu else 0)
    if machine.device_bytes is not None and need > machine.device_bytes:
        where = "main memory" if machine.is_cpu else "the GPU"
        yield f"Will not fit: sampling needs about {gib(need)}, {where} has {gib(machine.device_bytes)} for it."
    decode = whole_decode_bytes(job) if job.tile_decode is False else 0
    if machine.device_bytes is not None and decode > machine.device_bytes:
        yield f"Decoding whole frames will not fit: it needs about {gib(decode)} of {gib(machine.device_bytes)}."
    video = decoded_bytes(job)
    if machine.main_bytes is not None and video > machine.main_bytes:
        yield f"The decoded video will not fit: {gib(video)} of images, {gib(machine.main_bytes)} of main memory free."


def _notes(job: Job, machine: Machine, calibration: Calibration | None) -> Iterator[str]:
    """What makes it slower than told."""
    if machine.is_cpu or machine.device_bytes is None:
        return
    if activation_bytes(job, calibration) + weight_bytes(job) > machine.device_bytes:
        yield "The weights do not fit beside the video: ComfyUI will keep part of them in main memory, which is slower."


def _suggestions(job: Job, machine: Machine, calibration: Calibration | None, problems: list[str]) -> Iterator[str]:
    """In order: sparse attention, temporal units, tiled decoding, a smaller target; what does not help is left out."""
    form = form_of(job.config.attention)
    now = form_cost(job, calibration)
    changes = []
    sparse = with_form(job.config, "sparse")
    if form != "sparse":
        changes.append(("Sparse Local Attention on", replace(job, config=sparse, own=None)))
    if not sparse.attention.unit:
        units = replace(sparse, attention=replace(sparse.attention, unit=DEFAULT_UNIT))
        changes.append(("temporal_units of Sparse Local Attention on", replace(job, config=units, own=None)))
    for text, changed in changes:
        then = form_cost(changed, calibration)
        work = then.flops / now.flops if then.seconds is None else then.seconds / now.seconds
        if work <= FASTER or (problems and len(list(_problems(changed, machine, calibration))) < len(problems)):
            yield f"{text}: {_gain(work, then.seconds)}{_untrained(job, changed.config.attention)}"
    if problems and job.tile_decode is False and whole_decode_bytes(job):
        yield "Decode in tiles: set tile_size of Decode Video (GVR) to 512"
    if not problems:
        return
    for side in smaller_targets(job):
        smaller = replace(job, target=str(side), tile_decode=True)
        if not list(_problems(smaller, machine, calibration)):
            yield f"A smaller target: {side} fits{_time(form_cost(smaller, calibration).seconds)}"
            return
    yield "A shorter clip: cut it and run the parts one after another"


def _gain(work: float, seconds: float | None) -> str:
    if seconds is None:
        return f"{work:.0%} of the work"
    return f"about {duration(seconds)}"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f", about {duration(seconds)}"


def _untrained(job: Job, attention: AttentionConfig) -> str:
    own = job.own or job.config.attention
    return "" if attention == own else " (changes the picture, this checkpoint was trained without it)"


def gib(number: float) -> str:
    """Bytes for people."""
    size = number / 2**30
    return f"{size:.1f} GiB" if size >= 1 else f"{number / 2**20:.0f} MiB"


def duration(seconds: float) -> str:
    """Seconds for people, two or three digits."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 24 else f"{hours} h"
