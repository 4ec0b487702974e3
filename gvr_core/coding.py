"""Between pixels and latents, a few frames at a time: a clip of any length is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from .geometry import LatentSpace, UpscalePlan, round_up
from .models.upsampler import bilinear

CELLS_AT_ONCE = 16_384
"""Latent cells decoded together; a cell is 256 pixels (4 frames of 8 x 8)."""


class VideoVAE(Protocol):
    """What the cascade asks of a VAE; video `b 3 f h w` in [-1, 1], f = 4n+1 at the start of a video."""

    def encode_stream(self, chunks: Iterable[Tensor]) -> Iterable[Tensor]: ...

    def decode_stream(self, latent: Tensor, *, chunk: int) -> Iterable[Tensor]: ...


def chunk_frames(height: int, width: int) -> int:
    """Latent frames of `height` x `width` cells to decode together, at least 1."""
    return max(1, CELLS_AT_ONCE // (height * width))


def to_tensor(frames: np.ndarray, *, height: int, width: int) -> Tensor:
    """uint8 `t h w 3` -> float32 `1 3 t height width` in [-1, 1], the edge repeated beyond the picture."""
    video = rearrange(torch.from_numpy(np.ascontiguousarray(frames)), "t h w c -> 1 c t h w").float() / 127.5 - 1
    pad = (0, width - video.shape[-1], 0, height - video.shape[-2], 0, 0)
    return torch.nn.functional.pad(video, pad, mode="replicate")


def to_frames(video: Tensor, *, height: int, width: int) -> np.ndarray:
    """float `1 3 t h w` in [-1, 1] -> uint8 `t height width 3`, cut and clamped."""
    video = video[0, :, :, :height, :width].float().clamp(-1, 1)
    return rearrange(((video + 1) * 127.5).round().to(torch.uint8), "c t h w -> t h w c").cpu().numpy()


class FrameCounter:
    """Groups frames as a causal VAE takes them, 4n+1 first and 4n after, the last frame repeated to fill up.

    Attributes:
        frames: frames seen so far; after the iteration the length of the clip.
    """

    def __init__(self, chunks: Iterable[np.ndarray], space: LatentSpace) -> None:
        self.chunks, self.temporal, self.frames = chunks, space.temporal, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        pending: np.ndarray | None = None
        for chunk in self.chunks:
            lead = 1 if self.frames == 0 else 0  # the first frame is a group of its own
            self.frames += len(chunk)
            pending = chunk if pending is None else np.concatenate([pending, chunk])
            left = (len(pending) - lead) % self.temporal
            whole = len(pending) - left
            if whole:
                yield pending[:whole]
                pending = pending[whole:] if left else None
        if self.frames == 0:
            raise ValueError("the video has no frames: choose another file")
        if pending is not None:
            missing = self.temporal - len(pending)
            yield np.concatenate([pending, np.repeat(pending[-1:], missing, axis=0)])


@torch.inference_mode()
def encode_frames(
    vae: VideoVAE, chunks: Iterable[np.ndarray], space: LatentSpace, device: torch.device
) -> tuple[Tensor, int]:
    """Encode a clip.

    Args:
        vae: of that space.
        chunks: uint8 `t h w 3`, any lengths.
        space: the latent space.
        device: where to encode.

    Returns:
        The latent `1 c t h w` of the clip, its sides padded to whole cells and its end to 4n+1 frames, and the
        number of frames it really has.
    """
    counter = FrameCounter(chunks, space)

    def tensors() -> Iterator[Tensor]:
        for chunk in counter:
            height, width = (round_up(n, space.spatial) for n in chunk.shape[1:3])
            yield to_tensor(chunk, height=height, width=width).to(device)

    return torch.cat(list(vae.encode_stream(tensors())), dim=2), counter.frames


@torch.inference_mode()
def decode_frames(vae: VideoVAE, latent: Tensor, *, frames: int, height: int, width: int) -> Iterator[np.ndarray]:
    """Decode a latent in pieces, cut to exactly `frames` frames of `height` x `width`: uint8 `t h w 3` each."""
    left = frames
    for video in vae.decode_stream(latent, chunk=chunk_frames(*latent.shape[-2:])):
        piece = to_frames(video, height=height, width=width)[:left]
        left -= len(piece)
        if len(piece):
            yield piece
        if not left:
            return


@torch.inference_mode()
def reencode_enlarged(vae: VideoVAE, latent: Tensor, plan: UpscalePlan) -> Tensor:
    """The pixel upsampler (U 3.2): decode, bilinear in pixels, encode; in pieces.

    Args:
        vae: decodes and encodes.
        latent: `b c t h w`.
        plan: the result is `b c t latent_height latent_width` of it.
    """
    size = {"scale": plan.scale, "height": plan.padded_height, "width": plan.padded_width}
    videos = vae.decode_stream(latent, chunk=chunk_frames(plan.latent_height, plan.latent_width))
    return torch.cat(list(vae.encode_stream(bilinear(video, **size) for video in videos)), dim=2)
