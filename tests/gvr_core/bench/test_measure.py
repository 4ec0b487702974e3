"""Runs in turn, the best of each, and what happens without memory."""

import pytest
import torch

from gvr_core.bench import measure
from gvr_core.bench.measure import OUT_OF_MEMORY, Timing, interleave, time_once
from gvr_core.bench.memory import is_out_of_memory

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the calls move."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    monkeypatch.setattr(measure, "time", Clock())
    return measure.time


def test_calls_take_turns_and_the_best_run_counts(clock):
    order = []

    def call(name, seconds):
        times = iter(seconds)

        def run():
            order.append(name)
            clock.now += next(times)

        return run

    timings = interleave({"a": call("a", [3, 1, 2]), "b": call("b", [2, 2, 2])}, CPU, allowance=100, most_runs=3)
    assert "".join(order) == "ababab"
    assert timings == {
        "a": Timing(seconds=1.0, runs=3, extra_bytes=None),
        "b": Timing(seconds=2.0, runs=3, extra_bytes=None),
    }


def test_an_allowance_ends_runs_but_never_the_first(clock):
    def call(seconds):
        def run():
            clock.now += seconds

        return run

    calls = {"endless": call(10.0), "slow": call(4.0), "middle": call(1.6), "fast": call(0.1)}
    timings = interleave(calls, CPU, allowance=5.0)
    assert [timing.runs for timing in timings.values()] == [1, 2, 3, measure.MOST_RUNS]


def test_a_warm_up_does_not_count(clock):
    times = iter([50.0, 1.0, 1.0])

    def run():
        clock.now += next(times)

    assert interleave({"a": run}, CPU, allowance=9.0, warm_up=True, most_runs=2)["a"].seconds == 1.0


def test_out_of_memory_is_a_result():
    runs = []

    def allocate():
        torch.empty(10**16)

    timings = interleave({"huge": allocate, "small": lambda: runs.append(1)}, CPU, allowance=1.0, most_runs=3)
    assert timings["huge"] == OUT_OF_MEMORY
    assert timings["small"].runs == len(runs) == 3


def test_other_errors_are_errors():
    def mismatch():
        torch.ones(2) + torch.ones(3)

    with pytest.raises(RuntimeError, match="must match"):
        interleave({"a": mismatch}, CPU, allowance=1.0)


def test_what_is_out_of_memory():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))


def test_calls_run_without_gradients():
    seen = []
    interleave({"a": lambda: seen.append(torch.is_inference_mode_enabled())}, CPU, allowance=0.0)
    assert seen == [True]


def test_a_run_takes_time():
    seconds, extra = time_once(lambda: torch.ones(64, 64) @ torch.ones(64, 64), CPU)
    assert seconds > 0
    assert extra is None


@pytest.mark.gpu
def test_cuda_has_a_clock_and_a_memory_of_its_own():
    device = torch.device("cuda")
    a = torch.ones(4096, 4096, device=device)
    seconds, extra = time_once(lambda: a @ a, device)
    assert 0 < seconds < 10
    assert 2**26 <= extra <= 2**28
