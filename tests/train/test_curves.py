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
