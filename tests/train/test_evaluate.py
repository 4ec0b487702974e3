"""The quality protocol: the clip it cuts, the rows it has, and figures checked outside."""

import cv2
import numpy as np
import pytest

from gvr_core.cascade import Cascade
from gvr_core.sample_clip import render_sample_clip
from gvr_core.video import VideoReader, VideoWriter
from train.cli import main
from train.evaluation.protocol import evaluate, protocol_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("protocol") / "street.mp4"
    with VideoWriter(path, width=512, height=400, fps=24, crf=4) as writer:
        for frame in render_sample_clip(frames=18, height=400, width=512):
            writer.write(frame[None])
    return path


def test_the_clip_is_the_centre_of_the_resized_video(clip):
    with VideoReader(clip) as reader:
        frames = list(reader)
    resized = [cv2.resize(f, (round(512 * 384 / 400), 384), interpolation=cv2.INTER_AREA) for f in frames[:17]]
    expected = np.stack([f[64:320, 118:374] for f in resized])
    assert np.array_equal(protocol_clip(clip), expected)


def test_short_clips_are_refused(tmp_path):
    path = tmp_path / "short.mp4"
    with VideoWriter(path, width=64, height=64, fps=24) as writer:
        writer.write(np.zeros((5, 64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="has 5 frames, the protocol needs 17"):
        protocol_clip(path)


def test_rows_and_figures(clip, tiny_checkpoint, tmp_path, capsys):
    table = evaluate(Cascade.load(tiny_checkpoint), [clip])
    assert len(table.rows) == 8
    original = protocol_clip(clip).astype(np.float64)
    halved = original.reshape(17, 128, 2, 128, 2, 3).mean(axis=(2, 4)).round().astype(np.uint8)
    bicubic = np.stack([cv2.resize(f, (256, 256), interpolation=cv2.INTER_CUBIC) for f in halved]).astype(np.float64)
    expected = 10 * np.log10(255**2 / np.mean((bicubic - original) ** 2))
    name = "bicubic of the low-resolution pixels"
    figures = table.rows[name]["street"]
    assert figures["psnr"] == pytest.approx(expected, abs=0.05)
    assert table.mean(name) == pytest.approx(figures)

    arguments = [
        "evaluate",
        clip,
        "--model",
        tiny_checkpoint,
        "--pictures",
        tmp_path,
        "--json",
        tmp_path / "table.json",
    ]
    assert main([str(a) for a in arguments]) == 0
    assert capsys.readouterr().out.count("\n") == 10
    assert cv2.imread(str(tmp_path / "street.png")).shape[1] > 4 * 256
    assert (tmp_path / "table.json").is_file()
