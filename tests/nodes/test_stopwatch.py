"""What is measured beside a run must never cost the run."""

import logging

import pytest
import torch

from ..node_schemas import pack_modules


@pytest.fixture
def stopwatch_file():
    return pack_modules()["nodes.stopwatch"]


@pytest.fixture
def timed(stopwatch_file):
    """A stopwatch with a failing report and one evaluation to report."""

    def fail(*_):
        raise RuntimeError("CUDA out of memory")

    config = pack_modules()["gvr_core.cascade"].Cascade.nano().dit.config
    watch = stopwatch_file.Stopwatch(config, fail)
    return watch, torch.zeros(1, config.latent_channels, 1, 4, 4), config.attention


def test_a_failing_report_does_not_fail_the_run(timed, caplog):
    watch, latent, attention = timed

    def run():
        watch.end(watch.begin(latent, None, attention))
        return "the video"

    with caplog.at_level(logging.WARNING, logger="gvr"):
        assert watch.around_run(run) == "the video"
        watch.settle()

    assert caplog.messages == ["this run adds nothing to the estimates (RuntimeError: CUDA out of memory)"]


def test_a_failing_run_fails(timed):
    watch, _, _ = timed

    def run():
        raise ValueError("the user's mistake")

    with pytest.raises(ValueError, match="the user's mistake"):
        watch.around_run(run)


def test_a_compiled_model_is_not_timed(timed, monkeypatch):
    watch, latent, attention = timed
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)

    watch.around_run(lambda: watch.begin(latent, None, attention))

    assert watch.pending is None


def test_a_machine_too_full_to_measure_has_no_rates(monkeypatch):
    calibration, measure = pack_modules()["nodes.calibration"], pack_modules()["gvr_core.bench.measure"]
    monkeypatch.setattr(calibration, "interleave", lambda calls, *_, **__: dict.fromkeys(calls, measure.OUT_OF_MEMORY))

    assert calibration.measure_rates(torch.device("cpu"), torch.float32) is None
