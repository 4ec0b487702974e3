"""Closed-form starts of the upsampler against torch's least squares and against a map that is known."""

import pytest
import torch
from einops import rearrange

from gvr_core.models.upsampler import LatentUpsampler, UpsamplerConfig, bilinear
from train.linear_start import start_upsampler

CONFIG = UpsamplerConfig(space="nano", hidden=8, low_blocks=0, high_blocks=0)


def latents(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 48, 2, 12, 12, generator=generator) for _ in range(count)]


def enlarge(latent):
    return bilinear(latent, scale=2.0, height=24, width=24)


def test_a_map_of_its_own_kind_is_found_again():
    torch.manual_seed(0)
    truth = LatentUpsampler(CONFIG).requires_grad_(False)
    torch.nn.init.normal_(truth.linear.conv.weight, std=0.05)
    torch.nn.init.normal_(truth.linear.conv.bias, std=0.05)
    size = {"scale": 2.0, "height": 24, "width": 24}
    pairs = [(enlarge(x), truth(x, **size)) for x in latents(8, 1)]
    found = LatentUpsampler(CONFIG).requires_grad_(False)
    left = start_upsampler(found, pairs, scale=2.0)
    assert left < 1e-3
    new = latents(1, 2)[0]
    error = (found(new, **size) - truth(new, **size)).square().mean() / (
        truth(new, **size) - enlarge(new)
    ).square().mean()
    assert float(error) < 1e-3


def test_the_error_that_is_left_is_that_of_least_squares():
    pairs = [(enlarge(x), torch.randn(1, 48, 2, 24, 24) + enlarge(x.flip(-1))) for x in latents(4, 3)]
    upsampler = LatentUpsampler(CONFIG).requires_grad_(False)
    left = start_upsampler(upsampler, pairs, scale=2.0)
    measured = sum(float((upsampler.linear(a, 2.0) + a - b).square().sum()) for a, b in pairs)
    whole = sum(float((a - b).square().sum()) for a, b in pairs)
    assert measured / whole == pytest.approx(left, abs=1e-3)

    # Of one position inside the cells, by torch: 3 x 3 neighbours and 1 -> the first channel.
    rows, targets = [], []
    for plain, clean in pairs:
        padded = torch.nn.functional.pad(plain, (1, 1, 1, 1, 0, 0), mode="replicate")
        around = torch.stack([padded[..., y : y + 24, x : x + 24] for y in range(3) for x in range(3)], dim=2)
        rows.append(rearrange(around[..., ::2, ::2], "1 c k t h w -> (t h w) (c k)"))
        targets.append((clean - plain)[0, 0, :, ::2, ::2].flatten())
    features, target = torch.cat(rows).double(), torch.cat(targets).double()
    features = torch.cat([torch.ones_like(features[:, :1]), features], 1)
    best = float((features @ torch.linalg.lstsq(features, target).solution - target).square().sum())
    ours = sum(float((upsampler.linear(a, 2.0) + a - b)[0, 0, :, ::2, ::2].square().sum()) for a, b in pairs)
    assert ours == pytest.approx(best, rel=0.01)
