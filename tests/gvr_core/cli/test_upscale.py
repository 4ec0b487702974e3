"""`python -m gvr_core upscale` from the outside, on a tiny random cascade: sizes, counts, seeds, errors, leftovers."""

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch

from gvr_core import coding
from gvr_core.cascade import Cascade, denoise, upsample
from gvr_core.checkpoints import Header, load_part, read_header, save_checkpoint
from gvr_core.cli import job, references
from gvr_core.coding import decode_frames, encode_frames
from gvr_core.geometry import latent_space, plan_upscale
from gvr_core.latent_files import LatentFile, read_latent, write_latent
from gvr_core.latent_values import denormalize, normalize
from gvr_core.models.dit import DiT
from gvr_core.models.vae import NanoVAE, NanoVAEConfig
from gvr_core.video import probe

from .conftest import frames_of, write_clip


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 16, 17, 77, 100])
def test_the_output_has_exactly_the_inputs_frames(run, tmp_path, frames):
    source = write_clip(tmp_path / "in.mp4", frames=frames, height=8, width=8)
    assert run(source, tmp_path / "out.mp4", "--steps", 1)[0] == 0
    assert frames_of(tmp_path / "out.mp4").shape == (frames, 16, 16, 3)


@pytest.mark.parametrize(
    ("height", "width", "scale"), [(17, 31, 2), (40, 18, 2), (9, 8, 1.5), (16, 24, 1), (8, 8, 3.3)]
)
def test_the_output_is_scale_times_the_input(run, tmp_path, height, width, scale):
    source = tmp_path / "in"
    write_clip(source, height=height, width=width)  # a folder of pictures, exact at any size
    assert run(source, tmp_path / "out", "--scale", scale)[0] == 0
    assert frames_of(tmp_path / "out").shape == (5, round(scale * height), round(scale * width), 3)


def test_height_fixes_the_rows_and_keeps_the_aspect(run, tmp_path):
    source = write_clip(tmp_path / "in.mp4", height=16, width=24)
    code, out, _ = run(source, tmp_path / "out.mp4", "--height", 40, "--json")
    assert code == 0
    report = json.loads(out)
    assert (report["output"]["height"], report["output"]["width"]) == (40, 60)
    assert report["input"]["frames"] == 5
    assert set(report["phases"]) == {"encode", "upsample", "denoise", "decode"}
    assert probe(tmp_path / "out.mp4").fps == 12


def test_same_seed_same_bytes_of_latent(run, tmp_path):
    source = write_clip(tmp_path / "in.mp4")
    names = ["a.safetensors", "b.safetensors", "c.safetensors"]
    for name, seed in zip(names, (4, 4, 5), strict=True):
        assert run(source, tmp_path / name, "--seed", seed)[0] == 0
    a, b, c = (read_latent(tmp_path / name).latent.numpy().tobytes() for name in names)
    assert a == b
    assert a != c


def test_a_latent_goes_in_and_out_like_the_video_it_stands_for(run, tmp_path):
    source = write_clip(tmp_path / "in.mp4", frames=6, height=18, width=24)
    assert run(source, tmp_path / "high.latent", "--seed", 1)[0] == 0
    high = read_latent(tmp_path / "high.latent")
    assert (high.space, high.frames, high.height, high.width, high.fps) == ("nano", 6, 36, 48, Fraction(12))
    assert high.latent.shape == (1, 48, 3, 6, 6)
    assert run(tmp_path / "high.latent", tmp_path / "out", "--scale", 1)[0] == 0
    assert frames_of(tmp_path / "out").shape == (6, 36, 48, 3)


@pytest.fixture(scope="module")
def wan21_checkpoint(tmp_path_factory, tiny_checkpoint, tiny_dit_config):
    """Path of a tiny cascade in latent space wan21, where raw and normalised values differ; no upsampler inside."""
    torch.manual_seed(0)
    dit_config = tiny_dit_config(space="wan21", latent_channels=16, condition_channels=16, residual_std=(0.2,) * 16)
    vae_config = NanoVAEConfig(space="wan21", width=8, encoder_blocks=1, decoder_blocks=1)
    modules = {"dit": DiT(dit_config), "vae": NanoVAE(vae_config)}
    modules["dit"].initialize()
    torch.nn.init.normal_(modules["dit"].head.head.weight, std=0.02)
    parts = {"dit": dit_config.to_dict(), "vae": vars(vae_config)}
    header = Header(space="wan21", parts=parts, inference=read_header(tiny_checkpoint).inference)
    path = tmp_path_factory.mktemp("wan21") / "wan21.safetensors"
    save_checkpoint(path, modules, header, dtype=torch.float32)
    return path


def raw_latent(checkpoint, frames, space="wan21"):
    """What the checkpoint's VAE makes of frames."""
    return encode_frames(load_part(checkpoint, "vae"), [frames], latent_space(space), torch.device("cpu"))[0]


def test_latents_are_raw_in_files_and_normalised_in_the_cascade(run, tmp_path, wan21_checkpoint):
    raw = denormalize(torch.randn(1, 16, 2, 4, 6, generator=torch.Generator().manual_seed(0)), "wan21")
    write_latent(tmp_path / "low.latent", LatentFile(latent=raw))
    for name in ("high.latent", "high.safetensors"):
        assert run(tmp_path / "low.latent", tmp_path / name, model=wan21_checkpoint)[0] == 0
        cascade = Cascade.load(wan21_checkpoint)
        plan = plan_upscale(cascade.space, 32, 48, scale=2.0)
        expected = denoise(cascade.dit, upsample(normalize(raw, "wan21"), plan), cascade.settings())
        high = read_latent(tmp_path / name)
        torch.testing.assert_close(high.latent, denormalize(expected, "wan21"))
        assert high.space == "wan21"


@pytest.mark.parametrize("route", ["latent", "pixel"])
def test_a_video_and_its_raw_latent_give_the_same(run, tmp_path, wan21_checkpoint, route):
    frames = frames_of(write_clip(tmp_path / "in", height=16, width=32))
    write_latent(tmp_path / "in.latent", LatentFile(latent=raw_latent(wan21_checkpoint, frames)))
    for name in ("in", "in.latent"):
        code, _, error = run(
            tmp_path / name, tmp_path / f"{name}.safetensors", "--upsampler", route, model=wan21_checkpoint
        )
        assert code == 0, error
    high = [read_latent(tmp_path / f"{name}.safetensors").latent for name in ("in", "in.latent")]
    torch.testing.assert_close(*high)
    assert run(tmp_path / "in", tmp_path / "out", "--upsampler", route, model=wan21_checkpoint)[0] == 0
    vae = load_part(wan21_checkpoint, "vae")
    decoded = np.concatenate(list(decode_frames(vae, high[0], frames=5, height=32, width=64)))
    assert np.abs(frames_of(tmp_path / "out").astype(int) - decoded).max() <= 1


def test_the_pixel_upsampler_decodes_raw_values(run, tmp_path, wan21_checkpoint, monkeypatch):
    raw = raw_latent(wan21_checkpoint, frames_of(write_clip(tmp_path / "in", height=16, width=32)))
    write_latent(tmp_path / "in.latent", LatentFile(latent=raw))
    plan = plan_upscale(latent_space("wan21"), 16, 32, scale=2.0)
    with torch.inference_mode():
        expected = upsample(raw, plan, route="pixel", vae=load_part(wan21_checkpoint, "vae"))
    monkeypatch.setattr(job, "denoise", lambda dit, upsampled, *_: upsampled)
    arguments = (tmp_path / "in.latent", tmp_path / "out.latent", "--upsampler", "pixel")
    assert run(*arguments, model=wan21_checkpoint)[0] == 0
    torch.testing.assert_close(read_latent(tmp_path / "out.latent").latent, expected)


def test_references_are_normalised(run, tmp_path, wan21_checkpoint, monkeypatch):
    source = write_clip(tmp_path / "in", height=16, width=16)
    picture = write_clip(tmp_path / "pictures", frames=1, height=32, width=32) / "frame_00001.png"
    given = []
    monkeypatch.setattr(job, "denoise", lambda _, x, __, conditions, *___: given.append(conditions.references) or x)
    assert run(source, tmp_path / "out.latent", "--reference", picture, model=wan21_checkpoint)[0] == 0
    expected = normalize(raw_latent(wan21_checkpoint, frames_of(tmp_path / "pictures")), "wan21")
    torch.testing.assert_close(given[0], expected)


def test_solver_upsampler_and_noise_augmentation_are_used(run, tmp_path):
    source = write_clip(tmp_path / "in.mp4")
    results = []
    for number, extra in enumerate([(), ("--solver", "pndm"), ("--upsampler", "pixel"), ("--noise-aug", 0.3)]):
        target = tmp_path / f"{number}.safetensors"
        assert run(source, target, *extra)[0] == 0
        results.append(read_latent(target).latent)
    for number, result in enumerate(results[1:], 1):
        assert not torch.equal(results[0], result), number


def test_references_change_the_result_and_their_count_is_free(run, tmp_path):
    source = write_clip(tmp_path / "in.mp4")
    picture = write_clip(tmp_path / "pictures", frames=1, height=90, width=30) / "frame_00001.png"
    video = write_clip(tmp_path / "ref.mp4", frames=6, height=8, width=8)
    results = []
    for number, extra in enumerate(
        [(), ("--reference", picture), ("--reference", picture, "--reference", picture, "--reference-video", video)]
    ):
        target = tmp_path / f"{number}.safetensors"
        assert run(source, target, *extra)[0] == 0
        results.append(read_latent(target).latent)
    assert not torch.equal(results[0], results[1])
    assert not torch.equal(results[1], results[2])
    code, _, error = run(source, tmp_path / "x.safetensors", "--reference", video)
    assert (code, error[:6]) == (2, "error:")
    assert "is not a picture: give videos with --reference-video" in error


def test_too_many_references_are_refused_before_any_is_encoded(run, tmp_path, monkeypatch):
    source = write_clip(tmp_path / "in.mp4", frames=1)
    picture = write_clip(tmp_path / "pictures", frames=1) / "frame_00001.png"
    video = write_clip(tmp_path / "long.mp4", frames=78, height=8, width=8)
    fits = write_clip(tmp_path / "fits.mp4", frames=77, height=8, width=8)
    assert run(source, tmp_path / "out.safetensors", "--reference-video", fits, "--steps", 1)[0] == 0
    monkeypatch.setattr(references, "encode_frames", lambda *a: pytest.fail("encoded before counting"))
    for extra, text in (
        (("--reference", *[picture] * 11), "11 reference images, expected at most 10"),
        (("--reference-video", video), "21 latent frames, expected at most 20"),
    ):
        code, _, error = run(source, tmp_path / "x.safetensors", *extra)
        assert code == 2
        assert text in error


def test_a_frame_rate_that_no_video_has_is_refused_before_any_work(run, tmp_path, monkeypatch):
    write_latent(tmp_path / "x.latent", LatentFile(latent=torch.zeros(1, 48, 1, 2, 2), fps=Fraction(5000)))
    monkeypatch.setattr(job, "upsample", lambda *a, **k: pytest.fail("worked before looking at the rate"))
    code, _, error = run(tmp_path / "x.latent", tmp_path / "out.mp4")
    assert code == 2
    assert "5000 frames per second" in error


def test_the_comparison_is_a_picture_of_three_columns(run, tmp_path):
    source = write_clip(tmp_path / "in.mp4", height=64, width=64)
    assert run(source, tmp_path / "out.mp4", "--compare", tmp_path / "sheet.png")[0] == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] > 3 * 128


def test_the_comparison_is_the_same_whatever_is_written_and_however_it_is_cut(run, tmp_path, monkeypatch):
    source = write_clip(tmp_path / "in.mp4", frames=23, height=32, width=32)
    sheets = []
    for cells, target in ((10**6, "a.mp4"), (64, "b.mp4"), (64, "c.safetensors"), (10**6, "d.safetensors")):
        monkeypatch.setattr(coding, "CELLS_AT_ONCE", cells)
        sheet = tmp_path / f"{target}.png"
        assert run(source, tmp_path / target, "--compare", sheet)[0] == 0
        sheets.append(cv2.imread(str(sheet)).astype(int))
    assert all(np.abs(sheet - sheets[0]).max() <= 1 for sheet in sheets[1:])
