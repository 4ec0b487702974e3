"""The Nano VAE: 48 channels at 8 x 8 x 4, causal in time, the first frame alone as in Wan.

Every latent position is a linear map of one 4 x 8 x 8 pixel block (started from the block's principal components, so
the latent keeps their variances under one common scale) plus a convolutional residual that sees the neighbours and
the past. The first frame stands for a whole group of four equal frames: all latent frames then share one meaning,
and the convolutions need no special case. Normalisation is per position, never over time, so a video coded in
temporal chunks gives the same result as at once (*ours*; Wan's strides and causality, none of its code).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional

from ..geometry import LatentSpace, latent_space
from .channel_norm import ChannelNorm


@dataclass(frozen=True, kw_only=True)
class NanoVAEConfig:
    """Sizes of a `NanoVAE`; channels and strides are those of the latent space `space`."""

    space: str
    width: int
    encoder_blocks: int
    decoder_blocks: int

    def __post_init__(self) -> None:
        latent_space(self.space)
        for name in ("width", "encoder_blocks", "decoder_blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"VAE config: {name} is {getattr(self, name)}, expected at least 1")


StreamState = dict[nn.Module, Tensor]
"""What each causal convolution still has to remember of the past between two chunks of one video."""


class CausalConv3d(nn.Conv3d):
    """3-D convolution whose output at time t depends on inputs up to t only; zero padding in space and before t = 0."""

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int, int]) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=(0, kernel[1] // 2, kernel[2] // 2))

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        history = self.kernel_size[0] - 1
        if history:
            past = state.get(self) if state is not None else None
            if past is None:
                past = x.new_zeros(*x.shape[:2], history, *x.shape[3:])
            x = torch.cat([past, x], dim=2)
            if state is not None:
                state[self] = x[:, :, -history:].clone()
        return super().forward(x)


class ResidualBlock(nn.Module):
    """Two convolutions around the identity: the first sees one frame of the past, the second space only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(width)
        self.conv1 = CausalConv3d(width, width, (2, 3, 3))
        self.norm2 = ChannelNorm(width)
        self.conv2 = CausalConv3d(width, width, (1, 3, 3))

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)), state)
        return x + self.conv2(functional.silu(self.norm2(h)), state)


class ResidualTrunk(nn.Module):
    """conv - blocks - conv; the last convolution starts at zero so that the linear map alone is the starting point."""

    def __init__(self, in_channels: int, out_channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.conv_in = CausalConv3d(in_channels, width, (1, 3, 3))
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.norm = ChannelNorm(width)
        self.conv_out = CausalConv3d(width, out_channels, (1, 3, 3))
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        x = self.conv_in(x, state)
        for block in self.blocks:
            x = block(x, state)
        return self.conv_out(functional.silu(self.norm(x)), state)


class NanoVAE(nn.Module):
    """Video `b 3 f h w` in [-1, 1] <-> latent `b c t h/8 w/8`, f = 4 (t - 1) + 1. Deterministic: there is no sampling.

    Example:
        >>> latent = vae.encode(video)            # b 3 17 256 256 -> b 48 5 32 32
        >>> for frames in vae.decode_stream(latent, chunk=2): ...
    """

    def __init__(self, config: NanoVAEConfig) -> None:
        super().__init__()
        self.config = config
        space = latent_space(config.space)
        block = 3 * space.temporal * space.spatial**2
        self.linear_encoder = nn.Conv3d(block, space.channels, 1)
        self.encoder = ResidualTrunk(block, space.channels, config.width, config.encoder_blocks)
        self.linear_decoder = nn.Conv3d(space.channels, block, 1)
        self.decoder = ResidualTrunk(space.channels, block, config.width, config.decoder_blocks)

    @property
    def space(self) -> LatentSpace:
        """The latent space this VAE codes into."""
        return latent_space(self.config.space)

    def encode(self, video: Tensor, state: StreamState | None = None) -> Tensor:
        """Code a whole video, or the next chunk of one when `state` is given.

        Args:
            video: `b 3 f h w` in [-1, 1]; h and w multiples of 8; f = 4n+1 at the start of a video, 4n in later chunks.
            state: empty dict at the start of a video, then passed on unchanged from chunk to chunk.

        Returns:
            latent `b 48 t h/8 w/8`.

        Raises:
            ValueError: sizes that do not fit.
        """
        space = self.space
        starts = not state
        self._check(video, channels=3, what="video")
        frames, height, width = video.shape[2:]
        if height % space.spatial or width % space.spatial:
            raise ValueError(f"video is {width} x {height} pixels, the VAE needs multiples of {space.spatial}: pad it")
        if frames % space.temporal != (1 if starts else 0) % space.temporal:
            expected = f"{space.temporal}n+1" if starts else f"a multiple of {space.temporal}"
            raise ValueError(f"video has {frames} frames, the VAE needs {expected}: repeat the last frame")
        if starts:
            video = torch.cat([repeat(video[:, :, :1], "b c 1 h w -> b c n h w", n=space.temporal), video[:, :, 1:]], 2)
        blocks = rearrange(
            video, "b c (t n) (h y) (w x) -> b (c n y x) t h w", n=space.temporal, y=space.spatial, x=space.spatial
        )
        return self.linear_encoder(blocks) + self.encoder(blocks, state)

    def decode(self, latent: Tensor, state: StreamState | None = None) -> Tensor:
        """Decode a whole latent, or the next chunk of one when `state` is given.

        Args:
            latent: `b 48 t h w`.
            state: as for `encode`.

        Returns:
            video `b 3 f 8h 8w`, about [-1, 1] (not clamped); f = 4 (t - 1) + 1 at the start of a video, else 4 t.

        Raises:
            ValueError: another number of channels.
        """
        space = self.space
        starts = not state
        self._check(latent, channels=space.channels, what="latent")
        blocks = self.linear_decoder(latent) + self.decoder(latent, state)
        video = rearrange(
            blocks, "b (c n y x) t h w -> b c (t n) (h y) (w x)", n=space.temporal, y=space.spatial, x=space.spatial
        )
        if starts:
            first = video[:, :, : space.temporal].mean(dim=2, keepdim=True)
            video = torch.cat([first, video[:, :, space.temporal :]], dim=2)
        return video

    def encode_stream(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Latents of a video that arrives in chunks `b 3 f h w`: 4n+1 frames first, then multiples of 4."""
        state: StreamState = {}
        for chunk in chunks:
            yield self.encode(chunk, state)

    def decode_stream(self, latent: Tensor, *, chunk: int) -> Iterator[Tensor]:
        """Decoded videos of `chunk` latent frames at a time: together exactly `decode(latent)`.

        Raises:
            ValueError: chunk below 1.
        """
        if chunk < 1:
            raise ValueError(f"chunk is {chunk} latent frames, expected at least 1")
        state: StreamState = {}
        for start in range(0, latent.shape[2], chunk):
            yield self.decode(latent[:, :, start : start + chunk], state)

    def _check(self, x: Tensor, *, channels: int, what: str) -> None:
        if x.ndim != 5:
            raise ValueError(f"{what} has {x.ndim} dimensions, expected 5: b c t h w")
        if x.shape[1] != channels:
            raise ValueError(
                f"{what} has {x.shape[1]} channels, this VAE ({self.config.space}) expects {channels}: "
                "use the VAE it was made with"
            )
