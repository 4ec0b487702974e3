"""Pictures of sweeps."""

import importlib.util

import cv2
import pytest
import torch

from gvr_core.bench.benchmark import Benchmark
from gvr_core.bench.estimate import FORMS
from gvr_core.bench.plot import check_plot, draw
from gvr_core.bench.sizes import Size, model_config
from gvr_core.bench.sweep import frame_sizes, height_sizes, sweep


def test_sizes_hold_the_one_that_was_asked_for():
    size = Size(config=model_config("1.3b"), frames=33, height=540, width=960)
    assert [s.frames for s in frame_sizes(size)] == [5, 17, 33, 37, 57, 77, 117, 153]
    heights = height_sizes(size)
    assert [s.height for s in heights] == [360, 480, 540, 720, 1080, 1440, 2160]
    assert [s.width for s in heights] == [640, 854, 960, 1280, 1920, 2560, 3840]


@pytest.mark.usefixtures("small_rates")
@pytest.mark.parametrize("only_attention", [True, False])
def test_a_sweep_measures_what_fits_and_is_drawn(small_size, monkeypatch, tmp_path, only_attention):
    pytest.importorskip("matplotlib", reason="training installs matplotlib")
    monkeypatch.setattr("gvr_core.bench.benchmark.resident_peaks", lambda cases, dtype: [None] * len(cases))
    size = small_size()
    benchmark = Benchmark(size, torch.device("cpu"), torch.float32, budget=60.0, only_attention=only_attention)
    findings = benchmark.run()
    points = sweep(benchmark, findings, [size], 60.0)
    assert [point.form for point in points] == list(FORMS)
    assert all(point.estimated_s > 0 and point.measured_s > 0 for point in points)
    far = sweep(benchmark, findings, frame_sizes(size), 0.0)
    assert all(point.estimated_s > 0 and point.measured_s is None for point in far)
    draw(tmp_path / "x.png", far, points, title="a machine", what="a call")
    assert cv2.imread(str(tmp_path / "x.png")).shape[1] == 1100
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_matplotlib_may_be_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="plots need matplotlib, which is not installed: pip install matplotlib"):
        check_plot(tmp_path / "x.png")


def test_a_picture_has_a_suffix(tmp_path):
    pytest.importorskip("matplotlib", reason="training installs matplotlib")
    with pytest.raises(ValueError, match=r"suffix is '.gif', expected one of .png, .pdf, .svg"):
        check_plot(tmp_path / "x.gif")
