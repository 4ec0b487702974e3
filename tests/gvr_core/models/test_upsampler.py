"""The latent upsampler: bilinear against torch's own, untrained equals bilinear, position in the cell matters."""

import pytest
import torch
from torch.nn import functional

from gvr_core.geometry import latent_space, plan_upscale
from gvr_core.models import upsampler as module
from gvr_core.models.upsampler import LatentUpsampler, UpsamplerConfig, bilinear

from ..live_bytes import LiveBytes

HOST_SIZES = [(20, 270, 480, 1.0), (20, 270, 480, 2.0), (20, 270, 480, 4.5), (39, 136, 240, 1.0), (20, 136, 240, 2.25)]
"""Latent frames, rows and columns of 4K and 1080p, and the factor."""
CONFIG = UpsamplerConfig(space="nano", hidden=16, low_blocks=1, high_blocks=1)


def latent(height: int = 5, width: int = 7, frames: int = 3) -> torch.Tensor:
    return torch.randn(2, 48, frames, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0, 2.25, 3.0])
def test_bilinear_equals_torchs_with_the_same_factor(scale):
    x = latent(8, 12)
    height, width = int(8 * scale), int(12 * scale)
    ours = bilinear(x, scale=scale, height=height, width=width)
    theirs = functional.interpolate(x.flatten(1, 2), scale_factor=scale, mode="bilinear", align_corners=False)
    torch.testing.assert_close(ours, theirs.unflatten(1, (48, 3)), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(480, 854), (720, 1280), (539, 961)])
def test_to_1080_rows_every_cell_shows_its_own_place(height, width):
    space = latent_space("nano")
    plan = plan_upscale(space, height, width, target_height=1080)
    assert plan.latent_height == 136
    for side, size, across in ((height, plan.latent_height, False), (width, plan.latent_width, True)):
        cells = -(-side // 8)
        ramp = (torch.arange(cells) + 0.5) * 8  # where each cell's centre is, in input pixels
        ramp = ramp.expand(1, 1, 1, 4, -1) if across else ramp[:, None].expand(1, 1, 1, -1, 4)
        enlarged = bilinear(ramp, scale=plan.scale, height=plan.latent_height, width=plan.latent_width)
        expected = ((torch.arange(size) + 0.5) * 8 / plan.scale).clamp(4, 8 * cells - 4)
        torch.testing.assert_close(enlarged[0, 0, 0, 0] if across else enlarged[0, 0, 0, :, 0], expected)


def test_cells_beyond_the_input_repeat_its_edge():
    x = latent()
    enlarged = bilinear(x, scale=2.0, height=13, width=14)
    torch.testing.assert_close(enlarged[..., 10:, :], enlarged[..., 9:10, :].expand(-1, -1, -1, 3, -1))


@pytest.mark.parametrize("scale", [2.0, 2.25])
def test_untrained_is_bilinear(scale):
    size = {"scale": scale, "height": 12, "width": 16}
    x = latent()
    torch.testing.assert_close(LatentUpsampler(CONFIG)(x, **size), bilinear(x, **size), rtol=0, atol=0)


def test_a_trained_one_tells_the_halves_of_a_cell_apart():
    torch.manual_seed(0)
    upsampler = LatentUpsampler(CONFIG)
    torch.nn.init.normal_(upsampler.conv_out.weight, std=0.1)
    with torch.no_grad():
        out = upsampler(torch.ones(1, 48, 1, 12, 12), scale=2.0, height=24, width=24) - 1
    inner = out[..., 10:14, 10:14]  # far from the borders a constant input has only the position to tell cells apart
    assert not torch.allclose(inner[..., 0, :], inner[..., 1, :], atol=1e-3)
    torch.testing.assert_close(inner[..., 0, :], inner[..., 2, :], rtol=0, atol=1e-4)


def test_time_is_left_alone_and_another_space_is_refused():
    upsampler = LatentUpsampler(CONFIG)
    assert upsampler(latent(frames=1), scale=2.0, height=10, width=14).shape == (2, 48, 1, 10, 14)
    with pytest.raises(ValueError, match=r"expects b 48 t h w \(nano\)"):
        upsampler(torch.zeros(1, 16, 3, 4, 4), scale=2.0, height=8, width=8)
    with pytest.raises(ValueError, match="hidden is 0"):
        UpsamplerConfig(space="nano", hidden=0, low_blocks=1, high_blocks=1)


@pytest.mark.parametrize("scale", [1.0, 2.0, 2.25])
@pytest.mark.parametrize("high_blocks", [0, 1, 2])
def test_bands_of_rows_show_no_cut(scale, high_blocks, monkeypatch):
    torch.manual_seed(0)
    upsampler = LatentUpsampler(UpsamplerConfig(space="nano", hidden=16, low_blocks=1, high_blocks=high_blocks))
    for parameter in upsampler.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x, height = latent(24, 6), int(24 * scale)
    size = {"scale": scale, "height": height, "width": 11}
    whole = upsampler(x, **size)  # with gradients it is never cut
    monkeypatch.setattr(module, "_BAND_CELLS", 1)
    heights, band = [], LatentUpsampler._band
    monkeypatch.setattr(LatentUpsampler, "_band", lambda *args: heights.append(len(args[5])) or band(*args))
    with torch.inference_mode():
        banded = upsampler(x, **size)
    assert sum(heights) == height
    assert len(heights) >= 2
    torch.testing.assert_close(banded, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("hidden", "low_blocks", "high_blocks"), [(192, 5, 2), (128, 3, 1)])
@pytest.mark.parametrize(("t", "height", "width", "scale"), HOST_SIZES)
def test_the_memory_it_asks_for_is_what_it_takes(hidden, low_blocks, high_blocks, t, height, width, scale):
    config = UpsamplerConfig(space="nano", hidden=hidden, low_blocks=low_blocks, high_blocks=high_blocks)
    with torch.device("meta"):
        upsampler = LatentUpsampler(config)
        x = torch.empty(1, 48, t, int(height / scale), int(width / scale))
    with torch.inference_mode(), LiveBytes(x, *upsampler.parameters()) as live:
        upsampler(x, scale=scale, height=height, width=width)
    asked = upsampler.inference_bytes(x, height=height, width=width)
    assert live.peak <= asked <= 1.6 * live.peak
