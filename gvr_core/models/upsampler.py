"""The latent upsampler: 3-D convolutions - bilinear - 3-D convolutions, a residual around plain bilinear.

S 4.1 gives the three stages and nothing more. *Ours*: the last convolution starts at zero, so an untrained upsampler
**is** bilinear; and what follows the bilinear stage knows where each output cell lies inside its input cell. Without
that a convolution cannot tell the left half of a block from the right half, and a latent cell, which stands for a
whole block of pixels, has to be split into different halves. Most of that splitting is linear, so a linear map of the
neighbourhood that depends on the position stands beside the convolutions; it has a closed-form best start.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from ..geometry import latent_space
from .channel_norm import ChannelNorm

_BAND_CELLS = 2**18
"""Cells of the result that are computed at once in inference: at 4K and 77 frames a tenth of all, and of the memory."""


@dataclass(frozen=True, kw_only=True)
class UpsamplerConfig:
    """Sizes of a `LatentUpsampler`: hidden channels, residual blocks before and after the bilinear stage."""

    space: str
    hidden: int
    low_blocks: int
    high_blocks: int

    def __post_init__(self) -> None:
        latent_space(self.space)
        if self.hidden < 1:
            raise ValueError(f"upsampler config: hidden is {self.hidden}, expected at least 1")
        for name in ("low_blocks", "high_blocks"):
            if getattr(self, name) < 0:
                raise ValueError(f"upsampler config: {name} is {getattr(self, name)}, expected 0 or more")


def source_positions(size: int, scale: float, *, first: int = 0, device: torch.device | None = None) -> Tensor:
    """Where the centres of `size` output cells from `first` on lie on the input's axis, in input cells (cell i covers
    [i, i+1])."""
    return (torch.arange(first, first + size, device=device, dtype=torch.float32) + 0.5) / scale


def bilinear(latent: Tensor, *, scale: float, height: int, width: int, first_row: int = 0) -> Tensor:
    """Enlarge `b c t h w` by exactly `scale` in space to `b c t height width`, the edge repeated where it ends.

    The scale and the size are separate because the grid of the result is rounded up (135 rows of a 1080-row video
    become 136): stretching the input to the rounded size would move every pixel. `first_row` is where the result
    begins, for a result that is made in bands of rows.
    """
    for axis, size, first in ((-2, height, first_row), (-1, width, 0)):
        position = source_positions(size, scale, first=first, device=latent.device) - 0.5
        position = position.clamp(0, latent.shape[axis] - 1)
        low = position.floor().long()
        high = (low + 1).clamp(max=latent.shape[axis] - 1)
        weight = (position - low).to(latent.dtype)
        weight = weight[:, None] if axis == -2 else weight
        latent = torch.lerp(latent.index_select(axis, low), latent.index_select(axis, high), weight)
    return latent


def position_basis(
    height: int, width: int, scale: float, *, first_row: int = 0, device: torch.device | None = None
) -> Tensor:
    """1, y, x and xy of each output cell, `4 h w`; y and x are its place inside the input cell, -1 to 1.

    At factor 2 the places are the quarters, +-1. At other factors some lie further out and count as +-1 too: the maps
    that depend on them are fitted at factor 2 and must not be extrapolated.
    """
    y = source_positions(height, scale, first=first_row, device=device)
    x = source_positions(width, scale, device=device)
    y, x = ((4 * (position.frac() - 0.5)).clamp(-1, 1) for position in (y, x))
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([torch.ones_like(rows), rows, columns, rows * columns])


class ConvBlock(nn.Module):
    """norm - 3x3x3 convolution - norm - 1x3x3 convolution around the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(width)
        self.conv1 = nn.Conv3d(width, width, 3, padding=1)
        self.norm2 = ChannelNorm(width)
        self.conv2 = nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        return x + self.conv2(functional.silu(self.norm2(h)))


class CellPosition(nn.Module):
    """Scales and shifts features by the position of each output cell inside its input cell, (-0.5, 0.5] per axis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 2 * width))

    def forward(self, x: Tensor, scale: float, first_row: int = 0) -> Tensor:
        basis = position_basis(*x.shape[-2:], scale, first_row=first_row, device=x.device)
        grid = rearrange(basis[1:3] / 4, "two h w -> h w two").to(self.mlp[0].weight.dtype)
        gain, shift = rearrange(self.mlp(grid), "h w (two c) -> two 1 c 1 h w", two=2)
        return x * (1 + gain) + shift


class PositionLinear(nn.Module):
    """A 3 x 3 linear map that depends on the position (y, x) inside the input cell: W0 + y Wy + x Wx + xy Wxy.

    At factor 2 the four positions of a cell get four independent maps; other factors interpolate between them.
    Starts at zero.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, 4 * channels, (1, 3, 3), padding=(0, 1, 1), padding_mode="replicate")
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor, scale: float, first_row: int = 0) -> Tensor:
        parts = rearrange(self.conv(x), "b (basis c) t h w -> basis b c t h w", basis=4)
        basis = position_basis(*x.shape[-2:], scale, first_row=first_row, device=x.device).to(parts.dtype)
        return sum(part * weight for part, weight in zip(parts, basis, strict=True))


class LatentUpsampler(nn.Module):
    """Low-resolution latent -> high-resolution latent of the same space; time is left as it is."""

    def __init__(self, config: UpsamplerConfig) -> None:
        super().__init__()
        self.config = config
        channels = latent_space(config.space).channels
        self.linear = PositionLinear(channels)
        self.conv_in = nn.Conv3d(channels, config.hidden, 3, padding=1)
        self.low = nn.Sequential(*(ConvBlock(config.hidden) for _ in range(config.low_blocks)))
        self.position = CellPosition(config.hidden)
        self.high = nn.Sequential(*(ConvBlock(config.hidden) for _ in range(config.high_blocks)))
        self.norm = ChannelNorm(config.hidden)
        self.conv_out = nn.Conv3d(config.hidden, channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, latent: Tensor, *, scale: float, height: int, width: int) -> Tensor:
        """Enlarge a latent.

        Args:
            latent: `b c t h w`.
            scale: spatial factor, at least 1.
            height: rows of the result, in latent cells.
            width: columns of the result, in latent cells.

        Returns:
            `b c t height width`.

        Raises:
            ValueError: a latent of another space, or one that is not 5-dimensional.
        """
        space = latent_space(self.config.space)
        if latent.ndim != 5 or latent.shape[1] != space.channels:
            raise ValueError(
                f"latent has shape {tuple(latent.shape)}, this upsampler expects b {space.channels} t h w "
                f"({space.name}): use the cascade made for your model's latent space"
            )
        features = self.low(self.conv_in(latent))
        # In training the gradients hold every map anyway.
        rows = height if torch.is_grad_enabled() else self._band_rows(latent.shape[0] * latent.shape[2], width)
        bands = [
            self._band(latent, features, scale, width, range(first, min(first + rows, height)), height)
            for first in range(0, height, rows)
        ]
        return bands[0] if len(bands) == 1 else torch.cat(bands, dim=-2)

    def inference_bytes(self, latent: Tensor, *, height: int, width: int) -> int:
        """About what enlarging `b c t h w` to `height` x `width` takes at its peak without gradients, in float32."""
        hidden, channels = self.config.hidden, latent.shape[1]
        frames = latent.shape[0] * latent.shape[2]
        low = frames * latent.shape[3] * latent.shape[4]
        rows = min(self._band_rows(frames, width) + 2 * self._reach, height)
        # Low stage: five maps of the hidden width at once. Band: four, those of the linear map, and the low features.
        band = frames * rows * width * (4 * hidden + 6 * channels) + low * hidden
        return 4 * (max(5 * low * hidden, band) + frames * height * width * channels)

    @property
    def _reach(self) -> int:
        """Rows beyond a cell that it depends on after the bilinear stage."""
        return 2 * self.config.high_blocks + 1

    def _band_rows(self, frames: int, width: int) -> int:
        return max(4 * self._reach, _BAND_CELLS // (frames * width))

    def _band(self, latent: Tensor, features: Tensor, scale: float, width: int, rows: range, height: int) -> Tensor:
        """Some rows of the result. They are computed with all rows that they depend on, so no cut can be seen."""
        first, end = max(rows.start - self._reach, 0), min(rows.stop + self._reach, height)
        size = {"scale": scale, "height": end - first, "width": width, "first_row": first}
        enlarged = self.high(self.position(bilinear(features, **size), scale, first))
        plain = bilinear(latent, **size)
        band = plain + self.linear(plain, scale, first) + self.conv_out(functional.silu(self.norm(enlarged)))
        return band[..., rows.start - first : rows.stop - first, :]
