"""How latents are scaled: the published constants, and which scale real and made-up values look like.

The real latent, a normalised one of Wan 2.1, lies beside the repository, not in it; what needs it is skipped without.
"""

import inspect
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gvr_core.geometry import LATENT_SPACES
from gvr_core.latent_files import read_latent
from gvr_core.latent_values import (
    NORMALIZED,
    SCALES,
    LatentScale,
    NormalizedVAE,
    closest_scale,
    denormalize,
    normalize,
    scale_warning,
)

REAL = Path(__file__).resolve().parents[3] / "shared/data/latents/wan21_latent_61f_512x320.pth"
RECOGNISED = ("wan21", "wan22", "hunyuan")


def gaussian(space_name=None, *, channels=None, t=3, h=32, w=40, seed=0):
    """Raw values of a space, as published; normalised ones of `channels` without a space."""
    latent = torch.randn(
        1, channels or LATENT_SPACES[space_name].channels, t, h, w, generator=torch.Generator().manual_seed(seed)
    )
    return denormalize(latent, space_name) if space_name else latent


@pytest.fixture(scope="module")
def real():
    """Normalised, `1 16 16 40 64`."""
    if not REAL.is_file():
        pytest.skip("the real latent is not here")
    return read_latent(REAL).latent


def test_every_space_has_a_scale_with_its_channels():
    assert set(SCALES) == set(LATENT_SPACES)
    for name, scale in SCALES.items():
        assert len(scale.mean) == len(scale.std) == LATENT_SPACES[name].channels, name
    assert [name for name, scale in SCALES.items() if scale.is_identity] == ["nano"]


@pytest.mark.parametrize(
    ("name", "vae", "parameters"),
    [
        ("wan21", "AutoencoderKLWan", ("latents_mean", "latents_std")),
        ("hunyuan", "AutoencoderKLHunyuanVideo", ("scaling_factor",)),
        ("hunyuan15", "AutoencoderKLHunyuanVideo15", ("scaling_factor",)),
    ],
)
def test_the_constants_are_those_of_diffusers(name, vae, parameters):
    diffusers = pytest.importorskip("diffusers", reason="the constants are checked against diffusers: install it")
    if not hasattr(diffusers, vae):
        pytest.skip(f"this diffusers has no {vae}")
    defaults = inspect.signature(getattr(diffusers, vae).__init__).parameters
    values = [defaults[parameter].default for parameter in parameters]
    scale = SCALES[name]
    if len(values) == 2:
        assert (list(scale.mean), list(scale.std)) == tuple(values)
    else:
        assert not any(scale.mean)
        assert [1 / std for std in scale.std] == pytest.approx([values[0]] * len(scale.std))


@pytest.mark.parametrize(
    ("name", "format_name"),
    [("wan21", "Wan21"), ("wan22", "Wan22"), ("hunyuan", "HunyuanVideo"), ("hunyuan15", "HunyuanVideo15")],
)
def test_the_values_are_those_of_comfyui(name, format_name):
    formats = pytest.importorskip("comfy.latent_formats", reason="no ComfyUI on the path")
    if not hasattr(formats, format_name):
        pytest.skip(f"this ComfyUI has no {format_name}")
    host, latent = getattr(formats, format_name)(), gaussian(name)
    torch.testing.assert_close(normalize(latent, name), host.process_in(latent), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(denormalize(latent, name), host.process_out(latent), atol=1e-5, rtol=1e-5)


def test_normalised_raw_values_have_mean_zero_and_deviation_one():
    for name, scale in SCALES.items():
        raw = torch.tensor(scale.mean) + torch.tensor([[-1.0], [1.0]]) * torch.tensor(scale.std)
        expected = torch.tensor([[-1.0], [1.0]]).expand_as(raw)
        torch.testing.assert_close(normalize(raw, name), expected)


@given(
    name=st.sampled_from(sorted(SCALES)),
    shape=st.lists(st.integers(0, 3), max_size=3),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 99),
)
def test_denormalising_undoes_normalising(name, shape, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(2, LATENT_SPACES[name].channels, *shape, generator=generator).to(dtype)
    # Two roundings to the dtype, the first one stretched by at most 4 in raw values.
    tolerance = 16 * torch.finfo(dtype).eps
    for there, back in ((normalize, denormalize), (denormalize, normalize)):
        result = back(there(latent, name), name)
        assert result.dtype == dtype
        torch.testing.assert_close(result, latent, atol=tolerance, rtol=tolerance)


def test_nano_is_left_alone():
    latent = gaussian("nano")
    assert normalize(latent, "nano") is latent
    assert denormalize(latent, "nano") is latent


@pytest.mark.parametrize("function", [normalize, denormalize, scale_warning])
def test_a_latent_that_is_not_of_the_space_is_refused(function):
    for shape in ((1, 48, 2, 4, 4), (16,)):
        with pytest.raises(ValueError, match="expected `b c t h w` with the 16 channels of latent space wan21"):
            function(torch.zeros(shape), "wan21")
    with pytest.raises(ValueError, match="latent space 'wan' is not known"):
        function(torch.zeros(1, 16, 2, 4, 4), "wan")


@pytest.mark.parametrize(("mean", "std"), [((0.0,), (1.0, 1.0)), ((0.0,), (0.0,)), ((0.0,), (-1.0,))])
def test_scales_that_cannot_be(mean, std):
    with pytest.raises(ValueError, match="one of each for every channel, with deviations above 0"):
        LatentScale(mean, std)


class RecordingVAE:
    """Encodes to what it is given and remembers what it decodes."""

    def encode_stream(self, chunks):
        yield from chunks

    def decode_stream(self, latent, *, chunk):
        self.decoded, self.chunk = latent, chunk
        return [latent]


def test_a_vae_on_normalised_latents():
    raw, inner = gaussian("wan21"), RecordingVAE()
    vae = NormalizedVAE(inner, "wan21")
    encoded = list(vae.encode_stream(raw.split(1, dim=2)))
    torch.testing.assert_close(torch.cat(encoded, dim=2), normalize(raw, "wan21"))
    vae.decode_stream(torch.cat(encoded, dim=2), chunk=5)
    torch.testing.assert_close(inner.decoded, raw, atol=1e-5, rtol=1e-5)
    assert inner.chunk == 5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", RECOGNISED)
def test_values_as_published_are_recognised(name, seed):
    raw = gaussian(name, seed=seed)
    behind = closest_scale(raw)
    assert next(iter(behind)) == name
    assert list(behind.values()) == sorted(behind.values())
    assert behind[name] == 0
    assert scale_warning(raw, name) is None
    assert next(iter(closest_scale(normalize(raw, name)))) == NORMALIZED


@pytest.mark.parametrize("name", ["wan21", "wan22"])
def test_normalised_values_are_told(name):
    warning = scale_warning(gaussian(channels=LATENT_SPACES[name].channels), name)
    assert "looks already normalised" in warning
    assert f"({name}) are expected" in warning
    assert ("Nano" in warning) == (name == "wan22")


def test_a_latent_of_another_space_is_named():
    assert "looks like HunyuanVideo's (hunyuan)" in scale_warning(gaussian("hunyuan"), "wan21")
    assert "looks like Wan 2.1's (wan21)" in scale_warning(gaussian("wan21"), "hunyuan")
    assert "upsampler pixel with source_vae" in scale_warning(gaussian("wan21"), "hunyuan")


def test_what_cannot_be_told_apart_is_not_warned_of():
    for name in ("hunyuan", "hunyuan15"):  # a normalised latent, or one of less contrast
        assert scale_warning(gaussian(channels=LATENT_SPACES[name].channels), name) is None
    assert scale_warning(gaussian("hunyuan15"), "hunyuan15") is None
    for latent in (gaussian("wan22"), 100 * gaussian(channels=48)):
        assert scale_warning(latent, "nano") is None


@pytest.mark.parametrize("name", sorted(SCALES))
def test_a_latent_with_nothing_to_see_is_not_warned_of(name):
    shape = (1, LATENT_SPACES[name].channels, 2, 32, 40)
    for value in (0.0, 1.0, -30.0, float("nan")):
        assert scale_warning(torch.full(shape, value), name) is None
    faint = gaussian(channels=shape[1]) * 0.01
    assert scale_warning(faint, name) is None
    assert scale_warning(gaussian(channels=shape[1], h=16, w=16), name) is None


@given(
    name=st.sampled_from(RECOGNISED),
    stray=st.floats(0, 0.7),  # the real latent's is 0.36
    pattern=st.floats(0, 0.3),
    contrast=st.floats(0.15, 1.1),
    seed=st.integers(0, 10_000),
)
def test_raw_clips_that_stray_from_the_published_values_give_no_warning(name, stray, pattern, contrast, seed):
    generator = torch.Generator().manual_seed(seed)
    clip = gaussian(channels=LATENT_SPACES[name].channels, t=1, seed=seed)
    means, factors = torch.randn(2, clip.shape[1], 1, 1, 1, generator=generator)
    clip = clip * contrast * torch.exp(pattern * factors) + stray * means
    assert scale_warning(denormalize(clip, name), name) is None


def test_every_frame_of_the_real_latent_is_recognised(real):
    for frame in real.split(1, dim=2):
        assert scale_warning(denormalize(frame, "wan21"), "wan21") is None
        assert "looks already normalised" in scale_warning(frame, "wan21")
        assert scale_warning(denormalize(frame, "hunyuan"), "wan21") is not None


@given(data=st.data())
def test_every_part_of_the_real_latent_is_recognised(real, data):
    sizes = [data.draw(st.integers(least, most)) for least, most in ((1, 16), (24, 40), (32, 64))]
    starts = [data.draw(st.integers(0, most - size)) for size, most in zip(sizes, real.shape[2:], strict=True)]
    part = real
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True), 2):
        part = part.narrow(axis, start, size)
    raw = denormalize(part, "wan21")
    assert scale_warning(raw, "wan21") is None
    assert scale_warning(raw.to(torch.bfloat16), "wan21") is None
    assert next(iter(closest_scale(part))) == NORMALIZED
    assert "looks already normalised" in scale_warning(part, "wan21")
    assert scale_warning(denormalize(part, "hunyuan"), "wan21") is not None
