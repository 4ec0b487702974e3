"""Folders of finished videos, against originals and inputs of the same names."""

import numpy as np
import pytest

from gvr_core.metrics import psnr
from gvr_core.video import VideoWriter
from train.evaluation.finished import enlarge, evaluate_results, find_videos, read_clip
from train.evaluation.metric import Missing
from train.evaluation.registry import Tools, resolve_metrics


def write(path, seed, height=48, width=64, frames=6):
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (frames, 6, 8, 3), dtype=np.uint8)
    with VideoWriter(path, width=width, height=height, fps=8) as writer:
        writer.write(enlarge(small, height, width))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for seed, name in enumerate("ab"):
        write(root / "original" / f"{name}.mp4", seed)
        write(root / "input" / f"{name}.mkv", seed, 24, 32)
        write(root / "rival" / f"{name}.mp4", seed + 10)
    write(root / "ours" / "a.mp4", 20)
    write(root / "ours" / "new.mp4", 21)
    (root / "empty").mkdir()
    return root


METRICS = resolve_metrics(["psnr", "raw_energy", "colour"], Tools())[0]


def test_videos_are_matched_by_name(folders):
    steps = []
    table = evaluate_results(
        {"ours": folders / "ours", "rival": folders / "rival"},
        metrics=METRICS,
        originals=folders / "original",
        inputs=folders / "input",
        advance=lambda: steps.append(1),
    )
    assert list(table.rows) == ["ours", "rival", "original", "bicubic of the input"]
    assert table.clips == ["a", "b", "new"]
    assert len(steps) == 3
    original, rival = read_clip(folders / "original" / "b.mp4"), read_clip(folders / "rival" / "b.mp4")
    assert table.rows["rival"]["b"]["psnr"] == pytest.approx(psnr(rival, original))
    bicubic = enlarge(read_clip(folders / "input" / "b.mkv"), 48, 64)
    assert table.rows["bicubic of the input"]["b"]["psnr"] == pytest.approx(psnr(bicubic, original))
    assert "there is no b in" in table.rows["ours"]["b"]["raw_energy"].reason
    assert "no original" in table.rows["ours"]["new"]["psnr"].reason
    assert table.rows["ours"]["new"]["raw_energy"] > 0
    assert "this is the original" in table.rows["original"]["a"]["psnr"].reason
    assert isinstance(table.rows["original"]["new"]["raw_energy"], Missing)
    assert isinstance(table.rows["bicubic of the input"]["new"]["psnr"], Missing)


def test_without_originals_the_input_gives_the_colours(folders):
    table = evaluate_results(
        {"rival": folders / "rival"}, metrics=METRICS, inputs=folders / "input", baselines=False, frames=4
    )
    assert list(table.rows) == ["rival"]
    assert table.rows["rival"]["a"]["colour"] > 0
    assert isinstance(table.rows["rival"]["a"]["psnr"], Missing)


def test_wrong_folders_are_errors(folders, tmp_path):
    with pytest.raises(ValueError, match="no such folder of videos"):
        find_videos(tmp_path / "gone")
    with pytest.raises(ValueError, match="no videos in"):
        find_videos(folders / "empty")
    for suffix in ("mp4", "mkv"):
        (tmp_path / f"x.{suffix}").touch()
    with pytest.raises(ValueError, match="have one name"):
        find_videos(tmp_path)
    with pytest.raises(ValueError, match="name of a row of its own"):
        evaluate_results({"original": folders / "ours"}, metrics=METRICS, originals=folders / "original")
    with pytest.raises(ValueError, match="frames are -1"):
        evaluate_results({"ours": folders / "ours"}, metrics=METRICS, frames=-1)
