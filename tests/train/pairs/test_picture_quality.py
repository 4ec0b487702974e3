"""Which measure is taken, what happens where pyiqa does not import, and PIQE itself where it does."""

import importlib.util
import sys
import warnings

import cv2
import numpy as np
import pytest
import torch

from gvr_core.sample_clip import render_sample_clip
from train.evaluation.pyiqa_metrics import WEIGHTS
from train.pairs import picture_quality
from train.pairs.picture_quality import load_quality, resolve_quality

WORKS = """
def create_metric(name, device, **options):
    return lambda picture: picture.mean() * (100 if name == "piqe" else 50)
"""
MISMATCH = "raise RuntimeError('operator torchvision::nms does not exist')"
INCOMPLETE = "import a_module_that_pyiqa_needs"


@pytest.fixture(autouse=True)
def nothing_loaded(tmp_path, monkeypatch):
    """No measure is loaded yet, and weights are looked for in an empty folder."""
    picture_quality._metric.cache_clear()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    yield
    picture_quality._metric.cache_clear()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Function: a module of this source in pyiqa's place, and the weights of MUSIQ if wanted; None for no pyiqa."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(source, *, musiq=False):
        sys.modules.pop("pyiqa", None)
        picture_quality._metric.cache_clear()
        if source is None:
            monkeypatch.setitem(sys.modules, "pyiqa", None)
            find = importlib.util.find_spec
            monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyiqa" else find(name))
            return
        (tmp_path / "pyiqa.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        if musiq:
            file = tmp_path / "hub" / WEIGHTS["musiq"][0].path
            file.parent.mkdir(parents=True)
            file.touch()

    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # sources change within a second
    yield install
    sys.modules.pop("pyiqa", None)


def test_auto_takes_what_is_there_and_says_what_is_missing(install, tmp_path, caplog):
    install(None)
    assert resolve_quality("auto", tmp_path) == "none"
    assert "light and sharpness alone, because pyiqa is not installed: pip install pyiqa" in caplog.text
    with pytest.raises(ValueError, match=r"filter\.quality is musiq, but pyiqa is not installed: pip install"):
        resolve_quality("musiq", tmp_path)


def test_without_its_weights_musiq_gives_way_to_piqe(install, tmp_path, caplog):
    install(WORKS)
    assert resolve_quality("auto", tmp_path) == "piqe"
    assert "weights not found: put musiq_koniq" in caplog.text
    assert "not the papers' filter" in caplog.text
    with pytest.raises(ValueError, match=r"filter\.quality is musiq, but weights not found: put musiq"):
        resolve_quality("musiq", tmp_path)
    install(WORKS, musiq=True)
    assert resolve_quality("auto", tmp_path) == "musiq"
    assert load_quality("musiq")(np.full((8, 8, 3), 255, np.uint8)) == pytest.approx(50)
    assert resolve_quality("none", tmp_path) == "none"


@pytest.mark.parametrize(
    ("source", "why"),
    [(MISMATCH, "RuntimeError: operator torchvision::nms"), (INCOMPLETE, "ModuleNotFoundError: No module named 'a_mo")],
)
def test_an_installed_pyiqa_that_does_not_import_is_no_measure(install, source, why, tmp_path, caplog):
    install(source)
    assert resolve_quality("auto", tmp_path) == "none"
    assert f"light and sharpness alone, because pyiqa is installed but does not load piqe: {why}" in caplog.text
    for name in ("piqe", "musiq"):
        with pytest.raises(ValueError, match=rf"filter\.quality is {name}, but .*; or choose filter\.quality=none"):
            resolve_quality(name, tmp_path)
    with pytest.raises(ValueError, match="clips of this run are measured with piqe, but pyiqa is installed but does"):
        load_quality("piqe")


def test_a_folder_goes_on_with_the_measure_it_was_begun_with(install, make_config, prepare):
    """Whether pyiqa is repaired, lost or completed meanwhile; and the way out is told."""
    install(WORKS)
    auto = ("filter.quality=auto", "filter.piqe_most=100")
    stage = prepare(make_config("out", *auto))
    (stage.folder / "shard-000000.json").unlink()
    install(MISMATCH)
    with pytest.raises(ValueError, match=r"begun with the picture quality piqe, but pyiqa is .*Mend that "):
        prepare(make_config("out", *auto))
    install(None)
    with pytest.raises(ValueError, match=r"delete the folder and begin anew with filter\.quality=none"):
        prepare(make_config("out", *auto))
    with pytest.raises(ValueError, match=r'filter.quality was "piqe" and is "none" now\): choose .* or delete this'):
        prepare(make_config("out", "filter.piqe_most=100"))


def test_a_repaired_or_completed_pyiqa_changes_nothing_in_a_folder(install, make_config, prepare, files, caplog):
    install(WORKS)
    auto = ("filter.quality=auto", "filter.piqe_most=100")
    stage = prepare(make_config("out", *auto))
    before = files(stage.folder)
    (stage.folder / "shard-000000.json").unlink()
    install(WORKS, musiq=True)
    assert files(prepare(make_config("out", *auto)).folder) == before
    install(MISMATCH)
    stage = prepare(make_config("none", *auto))
    install(WORKS)
    assert prepare(make_config("none", *auto)).settings["filter"]["quality"] == "none"
    assert "was begun without a measure of picture quality" in caplog.text


def test_piqe_of_pyiqa_itself():
    """Its real code, where it imports: worse pictures score higher, and a frame is RGB in the right order."""
    try:
        piqe = load_quality("piqe")
    except ValueError as error:
        warnings.warn(f"PIQE WAS NOT TESTED: {error}", stacklevel=1)
        pytest.skip(str(error))
    frame = next(iter(render_sample_clip(frames=1, height=272, width=480)))
    noise = np.random.default_rng(0).normal(0, 40, frame.shape)
    scores = {
        "as it is": piqe(frame),
        "jpeg": piqe(cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 5])[1], cv2.IMREAD_COLOR)),
        "noise": piqe(np.clip(frame + noise, 0, 255).astype(np.uint8)),
        "blur": piqe(cv2.GaussianBlur(frame, (0, 0), 4)),
    }
    assert all(0 <= score <= 100 for score in scores.values())
    assert min(scores, key=scores.get) == "as it is"
    assert scores["as it is"] + 5 < min(score for name, score in scores.items() if name != "as it is")
    # Of luma alone: a gray picture made with the weights of RGB, not of BGR, scores the same.
    luma = np.round(frame @ [0.299, 0.587, 0.114]).astype(np.uint8)
    assert piqe(np.repeat(luma[..., None], 3, axis=2)) == pytest.approx(scores["as it is"], abs=1)
