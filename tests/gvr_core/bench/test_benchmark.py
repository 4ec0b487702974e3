"""A run measures what fits, at the size that was asked for or below."""

from dataclasses import replace

import pytest
import torch

from gvr_core.attention import AttentionConfig
from gvr_core.bench import benchmark as module
from gvr_core.bench.benchmark import Benchmark
from gvr_core.bench.cases import ladder
from gvr_core.bench.estimate import FORMS
from gvr_core.bench.results import make_sections
from gvr_core.bench.sizes import whole_case, with_form

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("small_rates", "no_processes")


@pytest.fixture
def no_processes(monkeypatch):
    """Memory without starting a process."""
    monkeypatch.setattr(module, "resident_peaks", lambda cases, dtype: [1000] * len(cases))


def test_everything_that_fits_is_measured(small_size):
    size = small_size(frames=37)
    findings = Benchmark(size, CPU, torch.float32, budget=120.0).run()
    for operation in ("attention", "block", "model"):
        for form in FORMS:
            entry = findings.measured[operation, form]
            assert (entry.case.config, entry.case.grid) == (with_form(size.config, form), size.grid)
            assert entry.timing.seconds > 0
            assert findings.peaks[operation, form] == (entry.case, 1000)
    assert findings.measured["rest", "rest"].timing.seconds > 0
    sections = make_sections(findings)
    assert all(row.seconds.measured for section in sections.values() for row in section.rows.values())
    assert set(findings.calibration.achieved) == {"full", "units", "sparse", "rest"}
    assert set(findings.calibration.extra_memory) == set(FORMS)


def test_attention_alone(small_size):
    findings = Benchmark(small_size(), CPU, torch.float32, budget=10.0, only_attention=True).run()
    assert set(findings.measured) == set(findings.peaks) == {("attention", form) for form in FORMS}
    assert set(make_sections(findings)) == {"attention"}


def test_what_would_take_too_long_is_never_started(small_size):
    # 4K at 153 frames: hours on any CPU.
    size = replace(small_size(), frames=153, height=2160, width=3840)
    findings = Benchmark(size, CPU, torch.float32, budget=1.0).run()
    assert {operation for operation, _ in findings.measured} == {"attention", "rest"}
    for entry in findings.measured.values():
        assert entry.case.grid.length < size.grid.length / 10
    sections = make_sections(findings)
    assert not any(row.seconds.measured for section in sections.values() for row in section.rows.values())
    assert sections["model"].rows["full"].seconds.value > 100


def test_what_does_not_fit_into_memory_is_never_started(small_size, monkeypatch):
    size = small_size(frames=37)
    room = ladder(module.Case(operation="block", config=size.config, grid=size.grid))[1].needed_bytes(4)
    monkeypatch.setattr(module, "available_bytes", lambda: room / module.ROOM)
    findings = Benchmark(size, CPU, torch.float32, budget=10.0).run()
    assert {operation for operation, _ in findings.measured} == {"attention", "rest"}
    assert findings.measured["rest", "rest"].case.grid.frames == 5


def test_out_of_memory_is_a_result(small_size, monkeypatch):
    build = module.Operations.build

    def failing(self, case):
        if case.form == "full" and case.operation == "attention":
            raise torch.OutOfMemoryError("out of memory")
        return build(self, case)

    monkeypatch.setattr(module.Operations, "build", failing)
    findings = Benchmark(small_size(), CPU, torch.float32, budget=120.0).run()
    sections = make_sections(findings)
    assert [row.is_out_of_memory for row in sections["model"].rows.values()] == [True, False, False]
    assert sections["model"].rows["sparse"].seconds.measured


def test_other_cases_are_timed_if_they_fit(small_size):
    size = small_size()
    benchmark = Benchmark(size, CPU, torch.float32, budget=60.0)
    benchmark.run()
    case = whole_case(replace(size, frames=9), "model", "sparse")
    assert benchmark.time(case, 60.0) > 0
    assert benchmark.time(case, 0.0) is None


def test_blocks_are_not_those_of_dense_layers(small_size):
    own = AttentionConfig(kind="sparse_local", window=(2, 3), dense_layers=(0,))
    findings = Benchmark(small_size(attention=own), CPU, torch.float32, budget=60.0).run()
    assert findings.measured["block", "sparse"].case.config.attention.dense_layers == ()
    assert findings.measured["model", "sparse"].case.config.attention == own
    assert all(row.seconds.measured for row in make_sections(findings)["block"].rows.values())


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_above_0(small_size, budget):
    with pytest.raises(ValueError, match="expected a number above 0"):
        Benchmark(small_size(), CPU, torch.float32, budget=budget)


@pytest.mark.slow
def test_the_same_cases_are_measured_through_torch_compile(small_size):
    benchmark = Benchmark(small_size(), CPU, torch.float32, budget=5.0)
    findings = benchmark.run()
    again = benchmark.compiled_again(findings)
    assert {key: entry.case for key, entry in again.measured.items()} == {
        key: entry.case for key, entry in findings.measured.items()
    }
    assert all(entry.timing.seconds for entry in again.measured.values())


@pytest.mark.gpu
def test_cuda_measures_memory_itself(small_size):
    findings = Benchmark(small_size(), torch.device("cuda"), torch.bfloat16, budget=5.0).run()
    case, peak = findings.peaks["model", "sparse"]
    assert case.operation == "model"
    assert peak > 0
