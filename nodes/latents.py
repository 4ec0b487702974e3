"""What runs on LATENT wires: checks in the user's words, and the exact size of the video behind a latent."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from ..gvr_core.geometry import LATENT_SPACES, LatentSpace
from ..gvr_core.latent_values import scale_warning

log = logging.getLogger("gvr")

MODELS = {4: "Stable Diffusion", 16: "Wan 2.1, Wan 2.2 14B or HunyuanVideo", 32: "HunyuanVideo 1.5", 128: "LTX-Video"}
AMBIGUOUS = "Wan 2.2 5B or this project's nano"
SIZE = "gvr_size"
"""Key of a LATENT: the video's real frames, height and width, without padding."""


def video_latent(latent: dict[str, Any]) -> Tensor:
    """The samples of a LATENT, checked to be one finite video, `1 c t h w` float32.

    Raises:
        ValueError: audio and video together, a picture's latent, a batch, or NaN.
    """
    samples = latent["samples"]
    if getattr(samples, "is_nested", False):
        raise ValueError("the latent holds video and audio together: separate them, and connect the video latent")
    if samples.ndim == 4:
        raise ValueError(
            f"the latent has shape {tuple(samples.shape)} (b c h w), a picture's: connect a video latent (b c t h w)"
        )
    if samples.ndim != 5:
        raise ValueError(f"the latent has shape {tuple(samples.shape)}, expected a video latent (b c t h w)")
    if len(samples) != 1:
        raise ValueError(
            f"the latent is a batch of {len(samples)} videos, expected one: set batch_size to 1 and queue several "
            "runs, or pick one with Latent From Batch"
        )
    if not torch.isfinite(samples).all():
        raise ValueError(
            "the latent holds NaN or infinite values: the sampler before has failed; try another dtype, sampler or "
            "attention there"
        )
    return samples.float()


def check_space(samples: Tensor, space: LatentSpace, *, owner: str) -> None:
    """Refuses a latent with other channels than `space`; warns where its values look like another space's.

    Args:
        samples: raw, `b c t h w`.
        space: the latent space it should be of.
        owner: what works in that space, for the message ("this cascade", "the VAE").
    """
    channels = samples.shape[1]
    if channels != space.channels:
        model = _model_of(channels)
        if space.name not in LATENT_SPACES:
            raise ValueError(
                f"the latent has {channels} channels ({model}), {owner} decodes {space.channels} "
                f"({_model_of(space.channels)}): connect the VAE of the model that the latent comes from"
            )
        raise ValueError(
            f"the latent has {channels} channels ({model}), {owner} works in {space.name} with {space.channels}: use "
            "a cascade made for that model, or upsampler pixel with source_vae"
        )
    # A VAE tells its channels and strides, but not which values are usual for it.
    warning = scale_warning(samples, space.name) if space.name in LATENT_SPACES else None
    if warning:
        log.warning("%s", warning)


def _model_of(channels: int) -> str:
    return AMBIGUOUS if channels == 48 else MODELS.get(channels, "an unknown model")


def size_of(latent: dict[str, Any], space: LatentSpace) -> tuple[int, int, int]:
    """Frames, height and width of the video behind a LATENT: as noted in it, else all that it decodes to in `space`."""
    _, _, t, h, w = latent["samples"].shape
    whole = {"frames": space.video_frames(t), "height": h * space.spatial, "width": w * space.spatial}
    noted = latent.get(SIZE, whole)
    # Another node may have cut or enlarged the latent on its way.
    fits = space.latent_frames(noted["frames"]) == t and all(
        noted[side] <= whole[side] < noted[side] + 4 * space.spatial for side in ("height", "width")
    )
    size = noted if fits else whole
    return size["frames"], size["height"], size["width"]


def with_size(samples: Tensor, *, frames: int, height: int, width: int) -> dict[str, Any]:
    """A LATENT that knows the size of its video."""
    return {"samples": samples, SIZE: {"frames": frames, "height": height, "width": width}}
