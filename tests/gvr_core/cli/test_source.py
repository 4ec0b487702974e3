"""Sources: how many frames are expected, which are got, and what a damaged latent file says of itself."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gvr_core.checkpoints import load_part
from gvr_core.cli.progress import Progress
from gvr_core.cli.source import open_source
from gvr_core.geometry import latent_space
from gvr_core.latent_files import LatentFile, write_latent
from gvr_core.latent_values import denormalize
from gvr_core.video import VideoWriter

NANO, CPU = latent_space("nano"), torch.device("cpu")


@pytest.fixture(scope="module")
def vae(tiny_checkpoint):
    return load_part(tiny_checkpoint, "vae")


def write_clip(path, frames, height=16, width=24):
    pixels = np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    with VideoWriter(path, width=width, height=height, fps=12) as writer:
        writer.write(pixels)
    return pixels


@pytest.mark.parametrize("name", ["x.mp4", "x.webm", "folder"])
def test_the_bar_knows_its_end_and_the_source_its_frames(vae, tmp_path, name):
    pixels = write_clip(tmp_path / name, frames=30)
    source = open_source(tmp_path / name, NANO, vae=vae, device=CPU, fps=None)
    assert source.expected == 30  # a webm's header has its length only
    with Progress() as progress:
        latent = source.encode(progress)
    assert (source.frames, latent.shape) == (30, (1, 48, 9, 2, 3))
    assert source.frame(29).shape == pixels.shape[1:]
    if name == "folder":
        assert np.array_equal(source.frame(7), pixels[7])
    with pytest.raises(ValueError, match="no frame 30"):
        source.frame(30)


def test_a_rate_is_taken_where_the_input_has_none(vae, tmp_path):
    write_clip(tmp_path / "folder", frames=1)
    write_clip(tmp_path / "x.mp4", frames=1)
    write_latent(tmp_path / "x.latent", LatentFile(latent=torch.zeros(1, 48, 1, 2, 3)))
    for name, expected in (("folder", 30), ("x.mp4", 12), ("x.latent", 30)):
        assert open_source(tmp_path / name, NANO, vae=vae, device=CPU, fps=Fraction(30)).fps == expected


def test_a_frame_of_a_latent_is_its_decoded_one(vae, tmp_path):
    latent = torch.randn(1, 48, 3, 2, 3, generator=torch.Generator().manual_seed(0))
    file = LatentFile(latent=latent, space="nano", frames=8, height=15, width=24)
    write_latent(tmp_path / "x.latent", file)
    source = open_source(tmp_path / "x.latent", NANO, vae=vae, device=CPU, fps=None)
    whole = ((vae.decode(latent)[0].clamp(-1, 1) + 1) * 127.5).round().numpy()
    for index in (0, 4, 7):
        assert np.array_equal(source.frame(index), whole[:, index, :15].transpose(1, 2, 0))


@pytest.mark.parametrize("wrong", [{"frames": 10}, {"frames": 4}, {"height": 17}, {"width": 25}])
def test_latents_that_contradict_their_file_are_damaged(vae, tmp_path, wrong):
    values = {"frames": 9, "height": 16, "width": 24, **wrong}
    write_latent(tmp_path / "x.latent", LatentFile(latent=torch.zeros(1, 48, 3, 2, 3), **values))
    with pytest.raises(ValueError, match="it is damaged"):
        open_source(tmp_path / "x.latent", NANO, vae=vae, device=CPU, fps=None)


@pytest.mark.parametrize("name", ["x.latent", "x.safetensors", "x.pth"])
def test_files_hold_raw_values_and_the_cascade_gets_normalised_ones(tmp_path, caplog, name):
    normalised = torch.randn(1, 16, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    for latent, warned in ((denormalize(normalised, "wan21"), False), (normalised, True)):
        caplog.clear()
        if name == "x.latent":
            write_latent(tmp_path / name, LatentFile(latent=latent))
        elif name == "x.pth":
            torch.save(latent, tmp_path / name)
        else:
            save_file({"latent": latent}, tmp_path / name)
        source = open_source(tmp_path / name, latent_space("wan21"), vae=None, device=CPU, fps=None)
        with Progress() as progress:
            torch.testing.assert_close(denormalize(source.encode(progress), "wan21"), latent, atol=1e-5, rtol=1e-5)
        assert ("looks already normalised" in caplog.text) == warned
        assert (name in caplog.text) == warned


def test_a_file_that_names_its_space_is_believed(tmp_path, caplog):
    latent = torch.randn(1, 16, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    write_latent(tmp_path / "x.latent", LatentFile(latent=latent, space="wan21"))
    open_source(tmp_path / "x.latent", latent_space("wan21"), vae=None, device=CPU, fps=None)
    assert caplog.text == ""
