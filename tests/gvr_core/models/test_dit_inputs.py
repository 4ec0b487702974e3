"""The checks of `dit_inputs`, through the DiT that makes them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gvr_core.models.dit import DiT

from .small_dit import CASCADE, PLAIN, RESIDUAL, latent, text


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
