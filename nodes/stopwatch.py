"""Watches the runs that a user makes anyway, so that the cost of the next one can be told beforehand.

A few evaluations of each run are timed, attention and everything else apart. On a GPU that is done with events, which
are read after the run: nothing waits for the device while it works.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..gvr_core.attention import AttentionConfig, TokenGrid, attend
from ..gvr_core.bench.observed import Observation, layer_form
from ..gvr_core.models.dit_config import DiTConfig

log = logging.getLogger("gvr")

MOST = 8
"""Evaluations of a run that are timed, after the first one."""
DEVICES = ("cpu", "cuda")
"""Kinds of devices whose clock is known: AMD cards are cuda too."""
Mark = Any
"""A moment: seconds on a CPU, an event on a GPU."""


@dataclass(eq=False)
class Timed:
    """One evaluation under way."""

    config: DiTConfig
    grid: TokenGrid
    batch: int
    device: torch.device
    start: Mark
    before: int = 0
    extra: int | None = None
    spans: list[tuple[int, Mark, Mark]] = field(default_factory=list)

    def attend(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `gvr_core.attention.attend`, with the clock running."""
        start = mark(self.device)
        result = attend(*args, **kwargs)
        self.spans.append((kwargs["layer"], start, mark(self.device)))
        return result


class Stopwatch:
    """Of one model.

    Args:
        config: of its DiT.
        report: called after a run with what was seen, the device and the dtype; by then the device may still be busy.
    """

    def __init__(
        self, config: DiTConfig, report: Callable[[list[Observation], torch.device, torch.dtype], None]
    ) -> None:
        self.config, self.report = config, report
        self.timed: list[Timed] = []
        self.is_running, self.dtype = False, torch.float32
        self.pending: tuple[list[Timed], Mark] | None = None

    def around_run(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        """A wrapper of the host around sampling; a run that is stopped or fails leaves nothing."""
        self.settle()
        self.timed, self.is_running, self.pending = [], True, None
        try:
            result = executor(*args, **kwargs)
            if self.timed:
                self.pending = (self.timed, mark(self.timed[-1].device))
        finally:
            self.timed, self.is_running = [], False
        self.settle()
        return result

    def begin(self, x: Tensor, references: Tensor | None, attention: AttentionConfig) -> Timed | None:
        """Starts the clock for an evaluation; None where this one is not timed."""
        device = x.device
        if not self.is_running or device.type not in DEVICES or len(self.timed) > MOST:
            return None
        _, rows, columns = self.config.patch_size
        grid = TokenGrid(
            frames=x.shape[2],
            references=0 if references is None else references.shape[2],
            height=x.shape[3] // rows,
            width=x.shape[4] // columns,
        )
        timed = Timed(replace(self.config, attention=attention), grid, len(x), device, mark(device))
        self.dtype = x.dtype
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            timed.before = torch.cuda.memory_allocated(device)
        self.timed.append(timed)
        return timed

    def end(self, timed: Timed) -> None:
        """Takes note of an evaluation's memory; its time ends where the next one starts."""
        if timed.device.type == "cuda":
            timed.extra = torch.cuda.max_memory_allocated(timed.device) - timed.before

    def settle(self) -> None:
        """Reports the last run as soon as its clocks can be read."""
        if self.pending is None:
            return
        timed, stop = self.pending
        if isinstance(stop, torch.cuda.Event) and not stop.query():
            return
        self.pending = None
        # The first evaluation loads kernels and weights; a run of only one has no other.
        ends = [*(entry.start for entry in timed[1:]), stop]
        pairs = list(zip(timed, ends, strict=True))
        # Where more ran than were timed, the last one's end is not known.
        pairs = pairs[:-1] if len(timed) > MOST else pairs
        try:
            seen = [_observation(entry, end) for entry, end in (pairs[1:] or pairs)]
            self.report(seen, timed[0].device, self.dtype)
        except Exception as error:  # noqa: BLE001  hours of sampling must not be lost to a figure beside them
            log.warning("this run adds nothing to the estimates (%s: %s)", type(error).__name__, error)


def mark(device: torch.device) -> Mark:
    """Now."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def between(start: Mark, stop: Mark) -> float:
    """Seconds."""
    return stop - start if isinstance(start, float) else start.elapsed_time(stop) / 1000


def _observation(timed: Timed, end: Mark) -> Observation:
    attention: dict[str, float] = {}
    for layer, start, stop in timed.spans:
        form = layer_form(timed.config, layer)
        attention[form] = attention.get(form, 0.0) + between(start, stop)
    return Observation(
        config=timed.config,
        grid=timed.grid,
        batch=timed.batch,
        attention=attention,
        rest=max(0.0, between(timed.start, end) - sum(attention.values())),
        extra_bytes=timed.extra,
    )
