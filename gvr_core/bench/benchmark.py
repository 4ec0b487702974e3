"""Runs what fits into a budget of seconds, and says what that was.

Every operation is measured at the size that was asked for if that fits, else at the largest smaller case that does. The
estimate from what has been measured so far tells whether something fits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from .cases import Case, Operation, ladder, largest
from .estimate import FORMS, REST, block_seconds, model_seconds, needed_shares
from .findings import Findings, Key, Measured, describe_machine
from .limit import RateMeter, work_seconds
from .measure import OUT_OF_MEMORY, Timing, interleave
from .memory import available_bytes, is_out_of_memory, resident_peaks
from .operations import Call, Operations
from .sizes import Size, whole_case

FIRST_GUESS = 0.1
"""Share of the limit that an operation is assumed to reach before it has been run, rather too low."""
ATTENTION_SHARE = 0.4
"""Of the budget, where block and model follow."""
PROBES = 4
"""Most steps from a small case to the one that is measured."""
ROOM = 0.8
"""Share of the free memory that a case may take on a CPU: Linux ends whoever takes too much."""


class Benchmark:
    """One run.

    Args:
        size: what to benchmark.
        device: where.
        dtype: of weights and activations.
        budget: seconds for the timed runs, above 0; random weights, processes and compiling come on top.
        only_attention: the operation alone, without block and model.
        compiled: everything runs through torch.compile, see `compiled_again`.

    Raises:
        ValueError: the budget is not above 0.
    """

    def __init__(
        self,
        size: Size,
        device: torch.device,
        dtype: torch.dtype,
        *,
        budget: float,
        only_attention: bool = False,
        compiled: bool = False,
    ) -> None:
        if not (math.isfinite(budget) and budget > 0):
            raise ValueError(f"budget is {budget} seconds, expected a number above 0: 60 is the default")
        self.size, self.device, self.dtype, self.budget = size, device, dtype, budget
        self.only_attention, self.compiled = only_attention, compiled
        self._machine = describe_machine(device)
        self._meter = RateMeter(device, dtype)
        self._measured: dict[Key, Measured] = {}
        self._take(interleave(self._meter.operations, device, allowance=0.5, warm_up=True))

    def run(self) -> Findings:
        """Choose the cases and measure them."""
        end = time.perf_counter() + self.budget
        share = self.budget * (1 if self.only_attention else ATTENTION_SHARE) / len(FORMS)
        operations = Operations(self.device, self.dtype)
        cases = [self._choose(operations, whole_case(self.size, "attention", form), share) for form in FORMS]
        self._measure(operations, cases, share)
        if not self.only_attention:
            share = (end - time.perf_counter()) / 2 / (1 + len(FORMS))
            operations = Operations(self.device, self.dtype)
            rest = self._choose(operations, whole_case(self.size, "rest", "full"), share)
            self._measure(operations, [rest, *self._affordable("block", share)], share)
            share = (end - time.perf_counter()) / len(FORMS)
            self._measure(Operations(self.device, self.dtype), self._affordable("model", share), share)
        return self._findings(self._peaks())

    def compiled_again(self, findings: Findings) -> Findings:
        """The cases of `findings` through torch.compile; memory on a GPU only.

        Raises:
            RuntimeError: they cannot be compiled here.
        """
        again = Benchmark(
            self.size, self.device, self.dtype, budget=self.budget, only_attention=self.only_attention, compiled=True
        )
        share = self.budget / 2 / len(findings.measured)
        for together in (("attention",), ("rest", "block"), ("model",)):
            cases = [entry.case for (name, _), entry in findings.measured.items() if name in together]
            torch.compiler.reset()  # PyTorch gives up on a function that it has compiled for too many cases
            again._measure(Operations(self.device, self.dtype, compiled=True), cases, share)
        return again._findings({} if self.device.type == "cpu" else again._peaks())

    def time(self, case: Case, allowance: float) -> float | None:
        """Seconds of any case, after `run`; None beyond `allowance` or memory."""
        if not self._is_affordable(case, allowance):
            return None
        timings = self._time(Operations(self.device, self.dtype), [case], allowance)
        return timings[case.operation, case.form].timing.seconds

    def _choose(self, operations: Operations, case: Case, share: float) -> Case:
        """The largest case that runs twice within `share` seconds, judged by smaller ones that are run now."""
        steps = ladder(case)
        chosen = largest(steps, lambda step: self._fits(step) and self._work(step) <= FIRST_GUESS * share / 10)
        for _ in range(PROBES):
            self._measure(operations, [chosen], share / 10)
            if self._measured[chosen.operation, chosen.form].timing.seconds is None:
                break
            # A small case is slower than its size: what it promises is a lower bound, so a larger one is tried next.
            larger = largest(steps, lambda step: self._is_affordable(step, share))
            if self._work(larger) < 1.5 * self._work(chosen):
                break
            chosen = larger
        return chosen

    def _affordable(self, operation: Operation, share: float) -> list[Case]:
        """The cases that were asked for, as far as they can be measured."""
        cases = [whole_case(self.size, operation, form) for form in FORMS]
        return [case for case in cases if self._is_affordable(case, share)]

    def _measure(self, operations: Operations, cases: Iterable[Case], allowance: float) -> None:
        self._measured.update(self._time(operations, cases, allowance))

    def _time(self, operations: Operations, cases: Iterable[Case], allowance: float) -> dict[Key, Measured]:
        """Timings of the cases, in turn with the machine's rates."""
        chosen = {(case.operation, case.form): case for case in cases}
        if not chosen:
            return {}
        calls = {key: self._build(operations, case) for key, case in chosen.items()}
        calls = {key: call for key, call in calls.items() if call is not None}
        warm_up = self.compiled or self.device.type != "cpu"
        timings = interleave({**calls, **self._meter.operations}, self.device, allowance=allowance, warm_up=warm_up)
        self._take(timings)
        return {key: Measured(case=case, timing=timings.get(key, OUT_OF_MEMORY)) for key, case in chosen.items()}

    def _build(self, operations: Operations, case: Case) -> Call | None:
        """The call; None if already its inputs or weights do not fit."""
        try:
            return operations.build(case)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                return None
            raise

    def _take(self, timings: Mapping[Key | str, Timing]) -> None:
        for name in self._meter.operations:
            if timings[name].seconds is not None:
                self._meter.update(name, timings[name].seconds)

    def _peaks(self) -> dict[Key, tuple[Case, int | None]]:
        """Extra memory of what was measured; on a CPU with all heads and of a whole block where that fits."""
        if self.device.type != "cpu":
            return {key: (entry.case, entry.timing.extra_bytes) for key, entry in self._measured.items()}
        cases = {key: entry.case for key, entry in self._measured.items() if entry.timing.seconds is not None}
        share = self.budget / 3 / max(len(cases), 1)
        for form in FORMS:
            if ("attention", form) in cases:
                steps = ladder(whole_case(self.size, "attention", form))
                cases["attention", form] = largest(steps, lambda case: self._is_affordable(case, 2 * share))
            block = whole_case(self.size, "block", form)
            if ("rest", REST) in cases and ("block", form) not in cases:
                block = replace(block, grid=cases["rest", REST].grid)
                if self._is_affordable(block, 2 * share):
                    cases["block", form] = block
        peaks = resident_peaks(list(cases.values()), self.dtype)
        return {key: (case, peak) for (key, case), peak in zip(cases.items(), peaks, strict=True)}

    def _is_affordable(self, case: Case, share: float) -> bool:
        return self._fits(case) and 2 * self._predicted(case) <= share

    def _fits(self, case: Case) -> bool:
        """False on a CPU without the memory; a GPU's own error is more precise than any guess."""
        room = available_bytes() if self.device.type == "cpu" else None
        return room is None or case.needed_bytes(self.dtype.itemsize) <= ROOM * room

    def _work(self, case: Case) -> float:
        return work_seconds(case.cost(self.dtype.itemsize), self._meter.rates)

    def _predicted(self, case: Case) -> float:
        """Seconds, from what has been measured so far; infinite for a form that had not enough memory."""
        calibration = self._findings({}).calibration
        if case.operation in ("attention", "rest"):
            share = calibration.achieved.get(case.form)
            return self._work(case) / share if share else math.inf
        if not needed_shares(case.config) <= set(calibration.achieved):
            return math.inf
        seconds = block_seconds if case.operation == "block" else model_seconds
        return seconds(case.config, case.grid, calibration)

    def _findings(self, peaks: Mapping[Key, tuple[Case, int | None]]) -> Findings:
        return Findings(
            size=self.size,
            dtype=str(self.dtype).removeprefix("torch."),
            machine=self._machine,
            rates=self._meter.rates,
            measured=dict(self._measured),
            peaks=peaks,
        )
