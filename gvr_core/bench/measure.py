"""Times of several operations, taken in turn, the best of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from .memory import is_out_of_memory

MOST_RUNS = 5


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What was measured of a call.

    Attributes:
        seconds: the best run; None if there was not enough memory.
        runs: how many it was the best of.
        extra_bytes: most memory beyond what was there before, the result included, on CUDA; else None.
    """

    seconds: float | None
    runs: int
    extra_bytes: int | None


OUT_OF_MEMORY = Timing(seconds=None, runs=0, extra_bytes=None)


def time_once(call: Callable[[], object], device: torch.device) -> tuple[float, int | None]:
    """Seconds of one run, and on CUDA its extra bytes."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            stop.record()
            stop.synchronize()
            return start.elapsed_time(stop) / 1000, torch.cuda.max_memory_allocated() - before
    synchronize = torch.mps.synchronize if device.type == "mps" else _nothing
    synchronize()
    begun = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - begun, None


@torch.inference_mode()
def interleave(
    calls: Mapping[str, Callable[[], object]],
    device: torch.device,
    *,
    allowance: float,
    warm_up: bool = False,
    most_runs: int = MOST_RUNS,
) -> dict[str, Timing]:
    """Runs every call at least once, then again in turn, so that what disturbs the machine disturbs all of them.

    Args:
        calls: by name.
        device: that they run on.
        allowance: seconds for each call; a second run is taken if the first was within, more as far as they fit.
        warm_up: a first run that does not count, where it loads or compiles something.
        most_runs: of each call.
    """
    best: dict[str, float] = {}
    extra: dict[str, int | None] = {}
    runs = dict.fromkeys(calls, 0)
    spent = dict.fromkeys(calls, 0.0)
    failed: set[str] = set()
    for turn in range(-1 if warm_up else 0, most_runs):
        for name, call in calls.items():
            if name in failed or _is_done(runs[name], spent[name], allowance):
                continue
            try:
                seconds, peak = time_once(call, device)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                failed.add(name)
                if device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            if turn < 0:
                continue
            extra[name] = None if peak is None else max(peak, extra.get(name) or 0)
            best[name] = min(seconds, best.get(name, seconds))
            runs[name] += 1
            spent[name] += seconds
    return {
        name: OUT_OF_MEMORY if name in failed else Timing(seconds=best[name], runs=runs[name], extra_bytes=extra[name])
        for name in calls
    }


def _is_done(runs: int, spent: float, allowance: float) -> bool:
    """True where a call has had its share; a run that took all of it alone may just have been disturbed."""
    if runs < 2:
        return runs == 1 and spent > allowance
    return spent + spent / runs > allowance


def _nothing() -> None:
    """A CPU is never behind."""
