"""The checks of `dit_inputs`, through the DiT that makes them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gvr_core.attention import AttentionConfig
from gvr_core.models.dit import DiT
from gvr_core.models.dit_config import DiTConfig
from gvr_core.references import ReferenceRanges

PLAIN = DiTConfig(
    space="wan21",
    latent_channels=16,
    condition_channels=0,
    dim=32,
    ffn_dim=48,
    num_heads=2,
    num_layers=2,
    freq_dim=32,
    text_dim=24,
    patch_size=(1, 2, 2),
    eps=1e-6,
    cross_attn_norm=True,
    spatial_attention=False,
    noise_embedding=False,
    attention=AttentionConfig(),
    reference_ranges=ReferenceRanges(),
    residual_std=None,
)
CASCADE = replace(PLAIN, condition_channels=16, noise_embedding=True)
RESIDUAL = replace(CASCADE, residual_std=(0.4,) * 8 + (0.7,) * 8)


def latent(t: int = 3, h: int = 4, w: int = 6, batch: int = 2) -> Tensor:
    return torch.zeros(batch, 16, t, h, w)


def text(dim: int = 24, batch: int = 2) -> Tensor:
    return torch.zeros(batch, 5, dim)


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (PLAIN, {"x": torch.zeros(2, 12, 1, 4, 4)}, "latent has 12 channels, this checkpoint expects 16.*'wan21'"),
        (PLAIN, {"x": torch.zeros(2, 16, 4, 4)}, "latent has 4 dimensions"),
        (PLAIN, {"x": torch.zeros(2, 16, 1, 5, 4)}, "latent is 5 x 4 .* multiples of the patch 2 x 2"),
        (PLAIN, {"condition": latent()}, "this checkpoint is a plain model"),
        (CASCADE, {"condition": latent(h=8)}, r"condition has shape \(2, 16, 3, 8, 6\) and the latent"),
        (RESIDUAL, {}, "got no condition but this checkpoint predicts a residual"),
        (RESIDUAL, {"condition": latent(), "noise_level": 1.0}, "condition noise level is 1, expected"),
        (CASCADE, {"references": latent(w=4), "reference_times": [20, 21, 22]}, "references have shape"),
        (CASCADE, {"references": latent(batch=1), "reference_times": [20, 21, 22]}, "references have shape"),
        (CASCADE, {"references": latent(), "reference_times": [20]}, "3 reference frames and 1 reference times"),
        (CASCADE, {"reference_times": [20]}, "0 reference frames and 1 reference times"),
        (PLAIN, {"context": None}, "got no context but this checkpoint expects text"),
        (replace(PLAIN, text_dim=0), {}, "got a context but this checkpoint expects none"),
        (PLAIN, {"context": text(dim=20)}, r"context has shape \(2, 5, 20\), expected \(2, n, 24\)"),
        (PLAIN, {"context": text(batch=1)}, r"context has shape \(1, 5, 24\)"),
        (PLAIN, {"timestep": torch.zeros(3)}, r"timestep has shape \(3,\) for 2 samples"),
    ],
)
def test_wrong_inputs_are_refused(config, change, message):
    inputs = {"x": latent(), "timestep": 500.0, "context": text()} | change
    with pytest.raises(ValueError, match=message):
        DiT(config)(inputs.pop("x"), inputs.pop("timestep"), inputs.pop("context"), **inputs)
