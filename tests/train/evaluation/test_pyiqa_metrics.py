"""The adapter for pyiqa: what it says without the package or the weights, and what it passes on."""

import hashlib
import importlib
import importlib.util
import sys

import numpy as np
import pytest
import torch

from train.evaluation import pyiqa_metrics
from train.evaluation.metric import Missing, Sample
from train.evaluation.pyiqa_metrics import PyiqaMetric, WeightFile

CLIP = np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)

FAKE = """
import os
import torch
seen = []
assert os.environ["HF_HUB_OFFLINE"] == "1"
def create_metric(name, device, **options):
    seen.append((name, options))
    print("Loading pretrained model")
    def score(picture, reference=None):
        if picture.shape[-1] > 100:
            raise AssertionError("too large")
        return picture.mean() if reference is None else (picture - reference).abs().mean()
    return score
"""


@pytest.fixture
def fake_pyiqa(tmp_path, monkeypatch):
    """A module in pyiqa's place whose metrics are the mean of the picture, or of its difference to the reference."""
    (tmp_path / "pyiqa.py").write_text(FAKE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyiqa", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    importlib.invalidate_caches()
    yield importlib
    sys.modules.pop("pyiqa", None)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    folder = tmp_path / "hub"
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))
    return folder


def test_without_the_package_the_reason_says_so(monkeypatch):
    monkeypatch.setattr(pyiqa_metrics.importlib.util, "find_spec", lambda name: None)
    figure = PyiqaMetric("piqe", frames=0)(Sample(clip=CLIP))
    assert isinstance(figure, Missing)
    assert "pip install pyiqa" in figure.reason


@pytest.mark.parametrize("name", ["niqe", "musiq", "lpips", "clipiqa"])
def test_without_weights_nothing_is_imported(name, fake_pyiqa, hub):
    figure = PyiqaMetric(name, frames=0)(Sample(clip=CLIP, original=CLIP))
    assert "weights not found: put " in figure.reason
    assert str(hub) in figure.reason
    assert "pyiqa" not in sys.modules


def test_damaged_weights_are_named(hub):
    (hub / "clip").mkdir(parents=True)
    (hub / "clip" / "RN50.pt").write_bytes(b"cut short")
    weights = pyiqa_metrics.WEIGHTS["clipiqa"][0]
    assert "another checksum" in weights.problem()
    right = WeightFile(weights.path, "here", hashlib.sha256(b"cut short").hexdigest())
    assert right.problem() == ""


def test_it_is_the_mean_over_spread_frames(fake_pyiqa, hub, capsys):
    figure = PyiqaMetric("piqe", frames=3)(Sample(clip=CLIP))
    assert figure == pytest.approx(np.mean([CLIP[i].mean() / 255 for i in (0, 4, 8)]), abs=1e-6)
    every = PyiqaMetric("piqe", frames=0)(Sample(clip=CLIP / 255))
    assert every == pytest.approx(CLIP.mean() / 255, abs=1e-6)
    assert capsys.readouterr().out == ""  # the table goes there


def test_weights_are_passed_and_pairs_compared(fake_pyiqa, hub):
    for weights in pyiqa_metrics.WEIGHTS["lpips"]:
        (hub / weights.path).parent.mkdir(parents=True, exist_ok=True)
        (hub / weights.path).touch()
    metric = PyiqaMetric("lpips", frames=0)
    original = CLIP[::-1]
    expected = np.abs(CLIP / 255 - original / 255).mean()
    assert metric(Sample(clip=CLIP, original=original)) == pytest.approx(expected, abs=1e-6)
    name, options = sys.modules["pyiqa"].seen[0]
    assert name == "lpips"
    assert options["pretrained_model_path"].endswith("LPIPS_v0.1_alex-df73285e.pth")
    assert "no original" in metric(Sample(clip=CLIP)).reason
    assert "equal sizes" in metric(Sample(clip=CLIP, original=CLIP[:, :16])).reason


def test_what_pyiqa_refuses_is_missing(fake_pyiqa, hub):
    figure = PyiqaMetric("piqe", frames=1)(Sample(clip=np.zeros((1, 32, 101, 3), np.uint8)))
    assert "cannot judge frames of 101x32: AssertionError: too large" in figure.reason


@pytest.mark.parametrize("error", ["RuntimeError('operator torchvision::nms does not exist')", "ImportError('clip')"])
def test_a_package_that_does_not_load_is_missing(error, fake_pyiqa, hub, tmp_path):
    (tmp_path / "pyiqa.py").write_text(f"raise {error}", encoding="utf-8")
    assert "does not load piqe" in PyiqaMetric("piqe", frames=1)(Sample(clip=CLIP)).reason


@pytest.mark.live
def test_the_adapter_gives_what_pyiqa_gives():
    if importlib.util.find_spec("pyiqa") is None:
        pytest.skip("NOT CHECKED: pyiqa is not installed")
    figure = PyiqaMetric("piqe", frames=2)(Sample(clip=CLIP))
    import pyiqa

    direct = pyiqa.create_metric("piqe", device=torch.device("cpu"))
    pictures = [torch.from_numpy(CLIP[i]).permute(2, 0, 1)[None].float() / 255 for i in (0, 8)]
    assert figure == pytest.approx(np.mean([float(direct(picture)) for picture in pictures]))
