"""Curves: resumed logs count once, the moving average is one, and a picture comes out."""

import json

import cv2
import numpy as np
import pytest

from train.curves import plot_curves, read_log, smooth


def write_log(folder, steps):
    folder.mkdir()
    lines = [json.dumps({"step": s, "loss": float(s), "psnr": 20.0 + s}) for s in steps]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_steps_that_a_resumed_run_repeats_count_once(tmp_path):
    log = read_log(write_log(tmp_path / "a", [1, 2, 3, 2, 3, 4]))
    assert log["step"].tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"no log\.jsonl"):
        read_log(tmp_path)


def test_smoothing_is_the_mean_of_the_last_values():
    values = np.random.default_rng(0).random(20)
    expected = [values[max(0, i - 4) : i + 1].mean() for i in range(20)]
    np.testing.assert_allclose(smooth(values, 5), expected)


def test_a_picture_is_written(tmp_path):
    plot_curves([write_log(tmp_path / "a", range(1, 50))], tmp_path / "x.png")
    picture = cv2.imread(str(tmp_path / "x.png"))
    assert picture.shape[1] > picture.shape[0]
    assert picture.std() > 1


def test_skipped_steps_and_looks_at_held_out_clips_are_gaps(tmp_path):
    lines = [
        {"step": 1, "loss": 3.0},
        {"step": 2, "loss": None, "skipped": 1},
        {"step": 2, "validation/loss": 5.0},
        {"step": 3, "loss": 1.0},
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    log = read_log(tmp_path)
    np.testing.assert_array_equal(log["loss"], [3.0, np.nan, 1.0])
    np.testing.assert_array_equal(log["validation/loss"], [np.nan, 5.0, np.nan])
    assert log["step"].tolist() == [1, 2, 3]
    plot_curves([tmp_path], tmp_path / "x.png")
    assert cv2.imread(str(tmp_path / "x.png")).std() > 1
