"""The norm of the convolutional parts: per position, so that no cut through time or space changes a result."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """RMS norm over the channels of each position of `b c t h w`, computed in float32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(dim=1, keepdim=True) + 1e-6)
        return (wide * rearrange(self.weight.float(), "c -> 1 c 1 1 1")).to(x.dtype)
