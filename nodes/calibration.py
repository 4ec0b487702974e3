"""What this machine reached in the runs that were made on it, kept in the host's user folder."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Any

import torch

from ..gvr_core.bench.calibration_file import add_run, find, read_calibrations
from ..gvr_core.bench.findings import describe_machine
from ..gvr_core.bench.limit import RateMeter, Rates
from ..gvr_core.bench.measure import interleave
from ..gvr_core.bench.observed import Observation, Observed, observe
from . import host
from .stopwatch import Stopwatch

log = logging.getLogger("gvr")

FILE = "calibration.json"
ROWS, COPY_BYTES = {"cpu": 768}, 2**26
"""A quick look at the machine's rates, some 50 ms: only their ratio has a bearing on estimates."""
stopwatches: weakref.WeakSet[Stopwatch] = weakref.WeakSet()
lock = threading.Lock()


def watch(patcher: Any) -> None:
    """Lets every run of a cascade, with whatever sampler, add to the calibration."""
    model = patcher.model
    stopwatch = Stopwatch(model.config, record)
    stopwatches.add(stopwatch)
    model.diffusion_model.stopwatch = stopwatch
    host.with_run_wrapper(patcher, "gvr_stopwatch", stopwatch.around_run)


def machine_name(device: torch.device) -> str:
    """The device as calibrations call it; threads belong to it on a CPU."""
    name = str(describe_machine(device)["device"])
    return f"{name}, {torch.get_num_threads()} threads" if device.type == "cpu" else name


def record(observations: list[Observation], device: torch.device, dtype: torch.dtype) -> None:
    """Adds a run to the file; a file that cannot be written, or a machine too full to measure, costs nothing else."""
    path, machine, kind = host.user_file(FILE), machine_name(device), str(dtype).removeprefix("torch.")
    with lock:
        known = [entry.calibration for entry in read_calibrations(path)]
        same = [entry.rates for entry in known if (entry.machine, entry.dtype) == (machine, kind)]
        rates = same[0] if same else measure_rates(device, dtype)
        if rates is None:
            log.info("too little memory is left to measure this machine: estimates stay what they are")
            return
        seen = observe(observations, machine=machine, dtype=kind, rates=rates)
        if seen is None:
            return
        try:
            add_run(path, seen)
        except OSError as error:
            log.warning("the calibration cannot be kept in %s (%s): estimates stay what they are", path, error)


def calibration_for(device: torch.device, dtype: str, dim: int) -> tuple[Observed | None, bool]:
    """What is known of this machine for a model of a width, and whether it is of that width."""
    for stopwatch in list(stopwatches):
        stopwatch.settle()
    with lock:
        entries = read_calibrations(host.user_file(FILE))
    return find(entries, machine=machine_name(device), dtype=dtype, dim=dim)


def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates | None:
    """Rates of matrix products and copies, roughly; None where there is no memory for them."""
    meter = RateMeter(device, dtype, rows=ROWS.get(device.type), copy_bytes=COPY_BYTES)
    timings = interleave(meter.operations, device, allowance=0.02, warm_up=True, most_runs=3)
    if any(timing.seconds is None for timing in timings.values()):
        return None
    for name, timing in timings.items():
        meter.update(name, timing.seconds)
    return meter.rates
