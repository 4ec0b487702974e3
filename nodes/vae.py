"""The bundled VAE as a ComfyUI VAE, and ComfyUI's VAEs as what gvr_core asks of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from ..gvr_core.coding import chunk_frames
from ..gvr_core.geometry import LatentSpace, pad_frames
from ..gvr_core.models.vae import NanoVAE
from . import host


class NanoAutoencoder(nn.Module):
    """`NanoVAE` as ComfyUI calls a first-stage model: whole videos in and out, worked on in pieces inside.

    Args:
        vae: the weights.
        output_device: where decoded videos are collected.
    """

    def __init__(self, vae: NanoVAE, output_device: torch.device) -> None:
        super().__init__()
        self.vae, self.output_device = vae, output_device

    def encode(self, video: Tensor) -> Tensor:
        """`b 3 f h w` in [-1, 1], any number of frames -> `b c t h/8 w/8`; the last frame is repeated up to 4n+1."""
        space = self.vae.space
        video = pad_frames(video, space)
        cells = (video.shape[-2] // space.spatial, video.shape[-1] // space.spatial)
        size = chunk_frames(*cells) * space.temporal
        first, rest = video.split([1, video.shape[2] - 1], dim=2)
        # Splitting nothing gives one empty piece.
        pieces = rest.split(size, dim=2) if rest.shape[2] else ()
        return torch.cat(list(self.vae.encode_stream([first, *pieces])), dim=2)

    def decode(self, latent: Tensor) -> Tensor:
        """`b c t h w` -> `b 3 f 8h 8w`, on the output device."""
        space, (b, _, t, h, w) = self.vae.space, latent.shape
        size = (b, 3, space.video_frames(t), h * space.spatial, w * space.spatial)
        video = torch.empty(size, dtype=latent.dtype, device=self.output_device)
        done = 0
        # Piece by piece: at 4K the whole video has 20 times the bytes of what the computing device needs.
        for piece in self.vae.decode_stream(latent, chunk=chunk_frames(h, w)):
            video[:, :, done : done + piece.shape[2]] = piece
            done += piece.shape[2]
        return video


class BundledVAE(host.VAE):
    """The VAE inside a checkpoint, for every node of ComfyUI that takes a VAE."""

    def __init__(self, vae: NanoVAE) -> None:
        host.prepare_vae(self, NanoAutoencoder(vae, host.intermediate_device()))
        space = vae.space
        pixels = space.spatial**2 * space.temporal
        # Beside the piece ComfyUI has the result of a decoding twice where it stays on the computing device.
        copies = 2 if self.output_device == self.device else 0

        def piece_bytes(height: int, width: int) -> int:
            # Measured on a CPU: 13 (encode) to 15 (decode) float32 values for each pixel of the piece.
            return chunk_frames(height, width) * height * width * pixels * 4 * 16

        def encoding_bytes(shape: torch.Size, _: torch.dtype) -> int:
            _, _, f, h, w = shape
            return piece_bytes(max(1, h // space.spatial), max(1, w // space.spatial)) + 3 * 4 * f * h * w

        def decoding_bytes(shape: torch.Size, _: torch.dtype) -> int:
            _, _, t, h, w = shape
            return piece_bytes(h, w) + copies * 3 * 4 * pixels * t * h * w

        self.memory_used_encode, self.memory_used_decode = encoding_bytes, decoding_bytes
        self.latent_channels, self.latent_dim, self.output_channels = space.channels, 3, 3
        frames = (
            lambda t: max(0, (t - 1) * space.temporal + 1),
            lambda f: max(0, (f + space.temporal - 1) // space.temporal),
        )
        self.upscale_ratio = (frames[0], space.spatial, space.spatial)
        self.downscale_ratio = (frames[1], space.spatial, space.spatial)
        self.upscale_index_formula = self.downscale_index_formula = (space.temporal, space.spatial, space.spatial)


class MissingVAE:
    """Stands where a checkpoint has no VAE: whatever is asked of it is refused in the user's words."""

    def __init__(self, file: str, space: str) -> None:
        self._text = (
            f"{file} has no VAE inside, the VAE output of Load GVR Cascade is empty: use Load VAE with the VAE of "
            f"latent space {space} instead"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_text":
            raise AttributeError(name)
        raise AttributeError(self._text)


def rgb_factors(vae: NanoVAE) -> list[list[float]]:
    """What each latent channel adds to red, green and blue: the mean over a cell of the VAE's linear decoder."""
    linear = vae.linear_decoder.weight[:, :, 0, 0, 0]
    return reduce(linear, "(rgb cell) c -> c rgb", "mean", rgb=3).tolist()


def vae_space(vae: Any) -> LatentSpace:
    """Channels and strides of a video VAE. Raises ValueError for an image VAE."""
    if vae.latent_dim != 3:
        raise ValueError("this VAE is made for pictures, expected one for video: load the VAE of the video model")
    return LatentSpace(
        name="vae",
        channels=vae.latent_channels,
        spatial=vae.spacial_compression_encode(),
        temporal=vae.temporal_compression_decode() or 1,
    )


FRAMES_AT_ONCE = 8
"""Frames that are enlarged together in the pixel upsampler."""


class HostCodec:
    """ComfyUI VAEs as gvr_core's `VideoVAE`: decode with one, encode with the same or another (a bridge of spaces).

    ComfyUI codes whole videos, with its own tiling and fallbacks; what is done to the pixels between goes in pieces.
    """

    def __init__(self, *, decoder: Any, encoder: Any) -> None:
        self.decoder, self.encoder = decoder, encoder

    def decode_stream(self, latent: Tensor, *, chunk: int) -> Iterator[Tensor]:
        """Raw latent `1 c t h w` -> video `1 3 f h w` in [-1, 1]."""
        images = self.decoder.decode(latent)
        for piece in images.flatten(0, -4).split(FRAMES_AT_ONCE):
            yield to_video(piece)

    def encode_stream(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Video `1 3 f h w` in [-1, 1] -> raw latent `1 c t h w`."""
        yield self.encoder.encode(torch.cat([to_images(chunk) for chunk in chunks]))


def to_video(images: Tensor) -> Tensor:
    """ComfyUI images `t h w c` in [0, 1] -> video `1 3 t h w` in [-1, 1]; alpha is left out."""
    return rearrange(images[..., :3], "t h w c -> 1 c t h w").float() * 2 - 1


def to_images(video: Tensor) -> Tensor:
    """Video `1 3 t h w` in [-1, 1] -> ComfyUI images `t h w c` in [0, 1]."""
    return rearrange((video + 1) / 2, "1 c t h w -> t h w c").clamp(0, 1)


def pad_to_frames(images: Tensor, space: LatentSpace) -> Tensor:
    """Images `t h w c`, the last one repeated until a video VAE takes all of them (4n+1)."""
    return rearrange(pad_frames(rearrange(images, "t h w c -> 1 c t h w"), space), "1 c t h w -> t h w c")
