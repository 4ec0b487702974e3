"""Low-resolution videos for the measurement: clips, or the pairs that the model was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gvr_core.cascade import Cascade
from gvr_core.coding import to_tensor
from gvr_core.models.upsampler import bilinear

from ..data import resize_short_side
from ..pairs import PairShards
from ..pairs.clip_search import find_clips
from ..tasks.cascade_sources import halve
from .measure import Video


def videos(
    cascade: Cascade, root: Path, *, count: int, noise_aug: float, short_side: int, frames: int
) -> Iterator[Video]:
    """At most `count` low-resolution videos of a folder, brought to the high-resolution grid.

    Args:
        cascade: enlarges them; its VAE encodes clips.
        root: folder of clips, or one that `train encode` made.
        count: how many; folders with fewer give what they have.
        noise_aug: tau.
        short_side: of the high-resolution video, pixels (clips only).
        frames: of a video, 4n+1 (clips only).

    Raises:
        ValueError: the folder and the cascade do not fit.
    """
    if (root / "plan.json").is_file():
        return _pairs(cascade, root, count, noise_aug)
    if frames % 4 != 1 or short_side < 32:
        raise ValueError(f"frames is {frames} and short side {short_side}, expected 4n+1 and at least 32 pixels")
    if cascade.vae is None or cascade.dit.config.text_dim:
        raise ValueError(
            f"{root} holds clips, but this cascade has {'a text encoder' if cascade.vae else 'no VAE'} beside it: give "
            "the folder `encoded` that `train encode` made"
        )
    return _clips(cascade, root, count, noise_aug, short_side, frames)


def _clips(cascade: Cascade, root: Path, count: int, noise_aug: float, short_side: int, frames: int) -> Iterator[Video]:
    multiple = 2 * cascade.space.spatial * cascade.dit.config.patch_size[1]
    clips = [clip for clip in find_clips(root) if (clip.info().frames or frames) >= frames]
    if not clips:
        raise ValueError(f"no clip in {root} has {frames} frames: give --frames 5 or so")
    for clip in clips[:: max(1, len(clips) // count)][:count]:
        pictures = [resize_short_side(frame, short_side) for frame in islice(clip.frames(), frames)]
        height, width = (n // multiple * multiple for n in pictures[0].shape[:2])
        pixels = np.stack([frame[:height, :width] for frame in pictures])
        video = to_tensor(pixels, height=height, width=width).to(cascade.device)
        with torch.inference_mode():
            low = cascade.vae.encode(halve(video))
            yield Video(_enlarge(cascade, low, *(n // cascade.space.spatial for n in (height, width))), noise_aug)


def _pairs(cascade: Cascade, root: Path, count: int, noise_aug: float) -> Iterator[Video]:
    pairs = PairShards(root)
    if pairs.space != cascade.header.space:
        raise ValueError(f"{root} is of latent space {pairs.space}, the cascade of {cascade.header.space}")
    wants_text = cascade.dit.config.text_dim > 0
    for k in range(0, len(pairs), max(1, len(pairs) // count))[:count]:
        item = pairs[k]
        if wants_text and "text" not in item:
            raise ValueError(f"{root} has no text, this cascade was trained with it: encode with encode.text=FOLDER")
        if "enlarged" in item:
            upsampled = item["enlarged"][None].to(cascade.device)
        else:
            upsampled = _enlarge(cascade, item["degraded"][None].to(cascade.device), *item["clean"].shape[-2:])
        yield Video(upsampled, noise_aug, item["text"][None].to(cascade.device) if wants_text else None)


@torch.inference_mode()
def _enlarge(cascade: Cascade, low: Tensor, height: int, width: int) -> Tensor:
    enlarge = bilinear if cascade.upsampler is None else cascade.upsampler
    return enlarge(low, scale=height / low.shape[-2], height=height, width=width)
