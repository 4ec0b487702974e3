"""What `upscale` refuses: one sentence, exit code 2, nothing left behind; and what it only warns of."""

import re

import pytest
import torch
from safetensors.torch import save_file

from gvr_core.cli import job
from gvr_core.cli.main import main
from gvr_core.latent_files import LatentFile, read_latent, write_latent
from gvr_core.video import VideoWriter

from .conftest import write_clip


def _half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def _empty(path):
    path.write_bytes(b"")
    return path


def _text(path):
    path.write_text("not a video")
    return path


def _latent(path, channels=48, value=0.0):
    save_file({"latent": torch.full((1, channels, 1, 2, 2), value)}, path)
    return path


BAD_SOURCES = {
    "no such file": (lambda d: d / "none.mp4", "none.mp4"),
    "not a video": (lambda d: _text(d / "text.mp4"), "text.mp4"),
    "empty": (lambda d: _empty(d / "empty.mp4"), "empty.mp4"),
    "truncated": (lambda d: _half(write_clip(d / "cut.mp4", frames=40, height=64, width=64)), "cut.mp4"),
    "NaN latent": (lambda d: _latent(d / "nan.safetensors", value=float("nan")), "NaN"),
    "wrong channels": (lambda d: _latent(d / "wan.safetensors", channels=16), "16 latent channels.*nano with 48"),
}


@pytest.mark.parametrize("name", BAD_SOURCES)
def test_bad_sources_end_with_one_sentence_and_nothing_left(run, tmp_path, name):
    make, text = BAD_SOURCES[name]
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    source = make(inputs)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    code, out, error = run(source, outputs / "out.mp4")
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert re.search(text, error), error
    assert list(outputs.iterdir()) == []


BAD_ARGUMENTS = {
    "zero scale": (("--scale", 0), "scale"),
    "negative scale": (("--scale", -2), "scale"),
    "30,000 pixels": (("--height", 30000), "at most 16384"),
    "smaller than the input": (("--height", 8), "smaller"),
    "n_ref": (("--n-ref", 9), "first 9 steps .* only 3"),
    "no steps": (("--steps", 0), "num_steps is 0"),
    "negative steps": (("--steps", -5), "num_steps is -5"),
    "tau": (("--noise-aug", 1.5), "noise augmentation is 1.5"),
    "unreadable reference": (("--reference", "nothing.png"), "nothing.png"),
    "text for a class-free model": (("--s-txt", 3), "class-free"),
    "device": (("--device", "abacus"), "abacus"),
    "seed": (("--seed", -1), "seed is -1"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments_end_with_one_sentence_and_nothing_left(tiny_checkpoint, tmp_path, capsys, name):
    extra, text = BAD_ARGUMENTS[name]
    source = write_clip(tmp_path / "in.mp4", frames=2)
    arguments = ["upscale", source, tmp_path / "out.mp4", "--model", tiny_checkpoint, *extra]
    assert main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert re.search(text, error), error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_bad_targets_are_refused_before_any_work(run, tmp_path, monkeypatch):
    source = write_clip(tmp_path / "in.mp4", frames=2)
    monkeypatch.setattr(job, "upsample", lambda *a, **k: pytest.fail("worked before looking at the target"))
    for target in (tmp_path / "missing" / "out.mp4", tmp_path / "out.gif", tmp_path / "no" / "x.latent"):
        code, _, error = run(source, target)
        assert code == 2
        assert error.startswith("error: cannot write"), error
    assert run(source, tmp_path / "out.mp4", "--compare", tmp_path / "sheet.jpg")[0] == 2
    for name in ("x.safetensors", "sheet.png"):
        (tmp_path / name).mkdir()
    assert run(source, tmp_path / "x.safetensors")[0] == 2
    assert run(source, tmp_path / "out.mp4", "--compare", tmp_path / "sheet.png")[0] == 2


def test_no_output_takes_the_place_of_what_was_read(run, tmp_path, save_tiny):
    video, frames = write_clip(tmp_path / "in.mp4", frames=2), write_clip(tmp_path / "frames", frames=2)
    latent, model = _latent(tmp_path / "x.safetensors", value=0.1), save_tiny(tmp_path / "model.safetensors")
    picture = frames / "frame_00001.png"
    before = {path: path.read_bytes() for path in (video, picture, latent, model)}
    for arguments in (
        (video, video),
        (frames, frames),
        (picture, frames),
        (latent, latent),
        (video, model),
        (video, frames, "--reference", picture),
        (picture, tmp_path / "out.mp4", "--compare", picture),
    ):
        code, _, error = run(*arguments, model=model)
        assert code == 2
        assert "would replace the input" in error, arguments
    assert {path: path.read_bytes() for path in before} == before


def test_bad_checkpoints_are_one_sentence(run, tmp_path, tiny_checkpoint):
    source = write_clip(tmp_path / "in.mp4", frames=2)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(tiny_checkpoint.read_bytes()[:5000])
    foreign = _latent(tmp_path / "foreign.safetensors")
    for model, text in (
        (tmp_path / "none.safetensors", "no such checkpoint"),
        (cut, "not a readable"),
        (foreign, "no GVR header"),
    ):
        code, _, error = run(source, tmp_path / "out.mp4", model=model)
        assert code == 2
        assert text in error
    assert not (tmp_path / "out.mp4").exists()


def test_a_latent_of_another_space_with_the_same_channels_is_refused(run, tmp_path):
    file = LatentFile(latent=torch.zeros(1, 48, 1, 2, 2), space="wan22")
    write_latent(tmp_path / "x.safetensors", file)
    code, _, error = run(tmp_path / "x.safetensors", tmp_path / "out.mp4")
    assert code == 2
    assert "latent of wan22, this cascade works in nano" in error


def test_a_cascade_without_vae_takes_latents_only(run, tmp_path, save_tiny):
    bare = save_tiny(tmp_path / "bare.safetensors", parts=("dit",))
    source = write_clip(tmp_path / "in.mp4", frames=2)
    code, _, error = run(source, tmp_path / "out.mp4", model=bare)
    assert code == 2
    assert "no VAE inside" in error
    latent = _latent(tmp_path / "x.safetensors", value=0.1)
    assert run(latent, tmp_path / "y.safetensors", model=bare)[0] == 0
    assert read_latent(tmp_path / "y.safetensors").latent.shape == (1, 48, 1, 4, 4)


def test_ctrl_c_leaves_nothing_behind(run, tmp_path, monkeypatch):
    source = write_clip(tmp_path / "in.mp4", frames=9)
    real = VideoWriter.write

    def interrupted(self, frames):
        real(self, frames)
        raise KeyboardInterrupt

    monkeypatch.setattr(job.VideoWriter, "write", interrupted)
    for target in ("out.mp4", "folder"):
        code, _, error = run(source, tmp_path / target)
        assert (code, error) == (130, "interrupted: nothing half-written is left")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_scales_and_noise_the_model_has_not_seen_are_said(run, tmp_path, caplog):
    source = write_clip(tmp_path / "in.mp4", frames=1)
    picture = write_clip(tmp_path / "pictures", frames=1) / "frame_00001.png"
    run(source, tmp_path / "out.mp4", "--scale", 3, "--noise-aug", 0.9, "--reference", picture)
    assert "not trained with references" in caplog.text
    assert "scale 3 is outside what this checkpoint was trained for (2): upsampler pixel" in caplog.text
    assert "noise augmentation 0.9 is outside the trained range 0 to 0.3" in caplog.text
