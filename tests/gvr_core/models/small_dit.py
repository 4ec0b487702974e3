"""A small DiT of Wan's kind for tests: configs, weights away from their initial values, inputs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from gvr_core.attention import AttentionConfig
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


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter away from its initial value, sized so that signals keep their size."""
    source = generator(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            parameter.normal_(generator=source)
            if "norm" in name and name.endswith("weight"):
                parameter.mul_(0.2).add_(1)
            elif parameter.ndim > 1 and "modulation" not in name and "table" not in name:
                parameter.mul_(parameter[0].numel() ** -0.5)
            else:
                parameter.mul_(0.3)
    return model.eval()


def latent(seed: int = 1, t: int = 3, h: int = 4, w: int = 6, batch: int = 2) -> Tensor:
    return torch.randn(batch, 16, t, h, w, generator=generator(seed))


def text(seed: int = 2, n: int = 5, dim: int = 24, batch: int = 2) -> Tensor:
    return torch.randn(batch, n, dim, generator=generator(seed))


TIMESTEP = torch.tensor([137.5, 900.0])
