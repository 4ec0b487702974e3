"""The demo on a tiny random cascade and a small scene: files, table, and the same table from numbers of our own."""

import re

import cv2
import numpy as np
import pytest
import torch

from gvr_core.cascade import Cascade
from gvr_core.checkpoints import load_part
from gvr_core.cli import demo
from gvr_core.cli.main import main
from gvr_core.coding import decode_frames, encode_frames
from gvr_core.geometry import latent_space
from gvr_core.metrics import psnr
from gvr_core.video import VideoReader, VideoWriter, probe


@pytest.fixture
def run(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    """Function: exit code, standard output and standard error of a demo into `tmp_path / "demo"`."""
    cascade = Cascade.load(tiny_checkpoint)
    monkeypatch.setattr(demo.Cascade, "nano", lambda device: cascade)
    monkeypatch.setattr(demo, "FRAMES", 5)
    monkeypatch.setattr(demo, "HEIGHT", 64)
    monkeypatch.setattr(demo, "WIDTH", 96)

    def call(*arguments):
        arguments = ["demo", *map(str, arguments), "--device", "cpu"]
        code = main([*arguments, *(() if "--output" in arguments else ("--output", str(tmp_path / "demo")))])
        return code, *capsys.readouterr()

    return call


def read(path):
    with VideoReader(path) as reader:
        return np.stack(list(reader))


def write(path, frames):
    with VideoWriter(path, width=frames.shape[2], height=frames.shape[1], fps=8) as writer:
        writer.write(frames)
    return path


def rows(table):
    """Name -> numbers of each line of a table."""
    found = re.findall(r"^(bilinear|bicubic|GVR) +(\S+) +(\S+) +(\S+) +(\S+)$", table, re.MULTILINE)
    return {name: tuple(map(float, numbers)) for name, *numbers in found}


@pytest.fixture
def seen(tiny_checkpoint):
    """Function: the frames of a clip as its latent shows them."""
    vae, space = load_part(tiny_checkpoint, "vae"), latent_space("nano")

    def decode(path):
        frames = read(path)
        latent, count = encode_frames(vae, [frames], space, torch.device("cpu"))
        height, width = frames.shape[1:3]
        return np.concatenate(list(decode_frames(vae, latent, frames=count, height=height, width=width)))

    return decode


def test_without_a_clip_it_renders_one_and_measures_against_it(run, seen, tmp_path):
    code, out, error = run()
    folder = tmp_path / "demo"
    assert code == 0, error
    assert sorted(p.name for p in folder.iterdir()) == ["comparison.png", "input.mp4", "original.mp4", "upscaled.mp4"]
    sizes = {n: (probe(folder / n).width, probe(folder / n).height) for n in ("input.mp4", "original.mp4")}
    assert sizes == {"input.mp4": (48, 32), "original.mp4": (96, 64)}
    result, truth = read(folder / "upscaled.mp4"), read(folder / "original.mp4")
    assert result.shape == truth.shape == (5, 64, 96, 3)
    assert cv2.imread(str(folder / "comparison.png")).shape[1] > 4 * 96
    table = rows(out)
    assert set(table) == {"bilinear", "bicubic", "GVR"}
    assert table["GVR"][0] == pytest.approx(psnr(result, truth), abs=0.006)
    blurred = np.stack([cv2.resize(f, (96, 64), interpolation=cv2.INTER_CUBIC) for f in seen(folder / "input.mp4")])
    assert table["bicubic"][0] == pytest.approx(psnr(blurred, truth), abs=0.006)
    assert "48 x 32 -> 96 x 64, 5 frames: encode" in error
    assert re.search(r"seconds +\d+", out)


def test_of_a_clip_it_says_how_near_the_result_stays(run, seen, tmp_path):
    random = np.random.default_rng(0).integers(0, 256, (2, 26, 18, 3), dtype=np.uint8)
    clip = write(tmp_path / "mine.mp4", random)  # portrait, and too short for flicker
    code, out, error = run(clip)
    assert code == 0, error
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == ["comparison.png", "upscaled.mp4"]
    result = read(tmp_path / "demo" / "upscaled.mp4")
    assert result.shape == (2, 52, 36, 3)
    back = np.stack([cv2.resize(frame, (18, 26), interpolation=cv2.INTER_AREA) for frame in result])
    assert rows(out)["GVR"][0] == pytest.approx(psnr(back, seen(clip)), abs=0.006)
    assert np.isnan(rows(out)["GVR"][3])


def test_where_nothing_is_to_compare_with_there_is_no_number():
    assert np.isnan(demo.share_of(1.0, 0.0))
    assert demo.share_of(1.0, 4.0) == 0.25


def test_what_is_no_clip_is_refused_before_a_folder_is_made(run, tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    for clip, text in (("none.mp4", "no such file"), ("text.mp4", "not a readable video")):
        code, out, error = run(tmp_path / clip)
        assert (code, out) == (2, "")
        assert error.startswith("error: ")
        assert text in error
    assert [p.name for p in tmp_path.iterdir()] == ["text.mp4"]


def test_results_do_not_replace_the_clip_nor_a_file(run, tmp_path):
    clip = write(tmp_path / "upscaled.mp4", np.zeros((1, 16, 16, 3), np.uint8))
    before = clip.read_bytes()
    code, _, error = run(clip, "--output", tmp_path)
    assert code == 2
    assert "would replace the input" in error
    assert run(clip, "--output", clip)[0] == 2
    assert clip.read_bytes() == before
