"""What a run measured, as plain values: the input of every table and estimate."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from .cases import Case, Operation
from .estimate import FORMS, HELD, REST, Calibration, itemsize_of, token_bytes
from .limit import Rates, work_seconds
from .measure import Timing
from .sizes import Size

Key = tuple[Operation, str]
"""Operation and form."""
CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A case and its timing."""

    case: Case
    timing: Timing


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything that one run measured.

    Attributes:
        size: what was asked for.
        dtype: name of the dtype.
        machine: as `describe_machine` found it before the run.
        rates: of the machine.
        measured: timings of the cases asked for, or of smaller ones of the same operation.
        peaks: cases and their peak bytes beyond inputs and weights, None where unknown.
    """

    size: Size
    dtype: str
    machine: Mapping[str, str | int | float | None]
    rates: Rates
    measured: Mapping[Key, Measured]
    peaks: Mapping[Key, tuple[Case, int | None]]

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return itemsize_of(self.dtype)

    @property
    def calibration(self) -> Calibration:
        """For estimates of other sizes; without the forms that had not enough memory."""
        achieved = {}
        for (operation, form), entry in self.measured.items():
            if operation in ("attention", "rest") and entry.timing.seconds is not None:
                achieved[form] = work_seconds(entry.case.cost(self.itemsize), self.rates) / entry.timing.seconds
        memory = {form: self._block_tensors(form) for form in FORMS}
        return Calibration(
            machine=str(self.machine["device"]),
            dtype=self.dtype,
            rates=self.rates,
            achieved=achieved,
            extra_memory={form: tensors for form, tensors in memory.items() if tensors},
        )

    def _block_tensors(self, form: str) -> float | None:
        """Extra peak memory of a block, in token tensors: measured, or of its larger part."""
        whole = self.peak_tensors("block", form)
        if whole is not None:
            return whole
        attention, rest = self.peak_tensors("attention", form), self.peak_tensors("rest", REST)
        return None if attention is None or rest is None else max(attention + HELD, rest)

    def peak_tensors(self, operation: Operation, form: str) -> float | None:
        """Peak memory of an operation beyond its inputs and weights, in token tensors; None where unknown."""
        case, peak = self.peaks.get((operation, form), (None, None))
        return None if peak is None else peak / token_bytes(case.config, case.grid, self.dtype)


def describe_machine(device: torch.device) -> dict[str, str | int | float | None]:
    """The device's name and kind, threads, PyTorch's version, cores and how many of them are busy now (Unix only)."""
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    elif device.type == "cpu" and CPUINFO.exists():
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return {
        "device": name,
        "kind": device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
