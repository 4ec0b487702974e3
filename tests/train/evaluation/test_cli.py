"""The command: both kinds of evaluation, what they write, and errors in the user's words."""

import argparse
import json
import shlex
import sys

import cv2
import numpy as np
import pytest

from gvr_core.sample_clip import render_sample_clip
from gvr_core.video import VideoReader, VideoWriter, probe
from train.evaluation.cli import add_evaluate_command
from train.evaluation.protocol import encode_pictures, evaluate

PROGRAM = """
import json, pathlib, sys
print(json.dumps({p.name: {"overall": len(p.parent.name)} for p in pathlib.Path(sys.argv[1]).glob("*.mp4")}))
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("protocol") / "street.mp4"
    with VideoWriter(path, width=300, height=256, fps=12, crf=8) as writer:
        for frame in render_sample_clip(frames=17, height=256, width=300):
            writer.write(frame[None])
    return path


@pytest.fixture
def run(monkeypatch):
    """Function: the command with arguments, as the main parser would run it."""
    for name in ("GVR_DOVER", "GVR_VBENCH"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        root = argparse.ArgumentParser()
        add_evaluate_command(root.add_subparsers())
        parsed = root.parse_args(["evaluate", *map(str, arguments)])
        parsed.run(parsed)

    return run


def test_a_cascade_on_clips(clip, tiny_checkpoint, tmp_path, run, monkeypatch, capsys):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM, encoding="utf-8")
    monkeypatch.setenv("GVR_DOVER", f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} {{videos}}")
    picture = tmp_path / "id.png"
    cv2.imwrite(str(picture), np.full((40, 30, 3), 200, np.uint8))
    files = {name: tmp_path / name for name in ("table.json", "plot.png", "videos", "pictures")}
    run(
        *(clip, "--model", tiny_checkpoint, "--metrics", "own,clip_i,dover", "--reference", picture),
        *("--json", files["table.json"], "--plot", files["plot.png"]),
        *("--videos", files["videos"], "--pictures", files["pictures"]),
    )
    document = json.loads(files["table.json"].read_text(encoding="utf-8"))
    rows = document["rows"]
    assert {"cascade", "cascade with references", "original", "bicubic of the low-resolution pixels"} <= rows.keys()
    assert len(rows) == 10
    assert rows["original"]["clips"]["street"]["psnr"] is None
    assert rows["original"]["clips"]["street"]["seam:8"] == pytest.approx(1, abs=0.3)
    assert rows["cascade"]["clips"]["street"]["dover.overall"] == len("cascade")
    assert rows["cascade"]["clips"]["street"]["clip_i"] is None
    assert document["settings"]["model"] == tiny_checkpoint.name
    assert len(document["settings"]["model_sha256"]) == 64
    assert document["settings"]["references"] == [str(picture)]
    video = files["videos"] / "cascade_with_references" / "street.mp4"
    assert (probe(video).frames, probe(video).width, probe(video).fps) == (17, 256, 12)
    assert files["plot.png"].is_file()
    assert (files["pictures"] / "street.png").is_file()
    text = capsys.readouterr().out
    assert "| cascade |" in text
    assert "- CLIP-I: no model" in text


def test_without_baselines_the_stages_are_left(clip, tiny_checkpoint, tmp_path, run):
    run(clip, "--model", tiny_checkpoint, "--no-baselines", "--json", tmp_path / "t.json", "--reference-frame", "8")
    rows = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))["rows"]
    assert list(rows) == ["learned upsampler", "one evaluation (denoised)", "cascade", "cascade with references"]


def test_references_are_placed_on_the_canvas(tiny_checkpoint):
    from gvr_core.cascade import Cascade
    from gvr_core.coding import encode_frames
    from gvr_core.geometry import plan_upscale

    cascade = Cascade.load(tiny_checkpoint)
    plan = plan_upscale(cascade.space, 32, 32, scale=2.0)
    picture = np.random.default_rng(0).integers(0, 256, (40, 20, 3), dtype=np.uint8)
    conditions = encode_pictures(cascade, [picture, picture], plan, target_frames=5)
    canvas = np.zeros((1, 64, 64, 3), np.uint8)
    canvas[0, 12:52, 22:42] = picture
    expected = encode_frames(cascade.vae, [canvas], cascade.space, cascade.device)[0]
    assert conditions.references.shape[2] == 2
    assert np.allclose(conditions.references[:, :, 1:], expected, atol=1e-5)
    ranges = cascade.dit.config.reference_ranges
    assert list(conditions.reference_times) == [ranges.image_start, ranges.image_start + 1]


def test_finished_videos(clip, tmp_path, run, capsys):
    (tmp_path / "rival").mkdir()
    with VideoReader(clip) as reader:
        frames = np.stack(list(reader))
    with VideoWriter(tmp_path / "rival" / "street.mp4", width=300, height=256, fps=12, crf=30) as writer:
        writer.write(frames)
    run(
        *("--results", tmp_path / "rival", f"again={tmp_path / 'rival'}", "--originals", clip.parent),
        *("--metrics", "psnr,seam:8,vbench", "--json", tmp_path / "t.json", "--frames", "5"),
    )
    document = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert document["settings"]["protocol"] == "results"
    assert list(document["rows"]) == ["rival", "again", "original"]
    assert 20 < document["rows"]["rival"]["mean"]["psnr"] < 50
    assert document["rows"]["rival"] == document["rows"]["again"]
    assert "VBench motion smoothness: not installed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to evaluate"),
        (["clip.mp4", "--originals", "x"], "belong to --results"),
        (["clip.mp4", "--results", "x"], "choose one of them"),
        (["--results", "x", "--videos", "y"], "belong to the evaluation of a cascade"),
        (["--results", "x", "y/x"], "has x twice"),
        (["--results", "=x"], "expected NAME=VALUE"),
        (["--results", "gone"], "no such folder of videos: gone"),
        (["clip.mp4", "--external", "dovr=x"], "expected dover or vbench"),
        (["clip.mp4", "--external", 'dover="x'], "No closing quotation"),
        (["clip.mp4", "--plot", "plot.txt"], "name ending in .png"),
        (["clip.mp4", "--metrics", "psn"], "did you mean psnr"),
        (["clip.mp4", "--reference", "gone.png"], "no such file or folder"),
        (["gone.mp4", "--reference-frame", "17"], "frames 0 to 16"),
        (["a/x.mp4", "b/x.mp4"], "have one name"),
    ],
)
def test_errors(arguments, message, run, tiny_checkpoint):
    with pytest.raises(ValueError, match=message):
        run(*arguments, "--model", tiny_checkpoint)


def test_a_cascade_without_a_vae_is_refused(tmp_path, save_tiny):
    from gvr_core.cascade import Cascade

    cascade = Cascade.load(save_tiny(tmp_path / "bare.safetensors", parts=("dit", "upsampler")))
    with pytest.raises(ValueError, match="has no VAE inside"):
        evaluate(cascade, [])
