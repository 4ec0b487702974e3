"""The references of a sample as latents: augmented pictures (U Table 3), then the reference video (U 3.2)."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from gvr_core.degradations.config import ReferenceAugmentation
from gvr_core.degradations.reference_augment import augment_reference
from gvr_core.references import fit_reference

from .encoders import VideoEncoder
from .lossless_video import read_lossless


def encode_references(
    members: dict[str, bytes],
    encoder: VideoEncoder,
    augment: ReferenceAugmentation,
    *,
    height: int,
    width: int,
    count: int,
    seed: int,
    key: str,
) -> dict[str, Tensor]:
    """What there is of `images`, raw latents `c count h w`, and `video`, `c r h w`, float32, on the sample's grid.

    Args:
        members: of the sample in `clips`, by ending.
        encoder: the autoencoder.
        augment: how the pictures are changed.
        height: rows that the clean sample has when it is encoded; references lie in the middle of black there, as they
            do in inference (U 3.2).
        width: its columns.
        count: views of the picture.
        seed: of the run.
        key: of the sample; with the seed it decides everything that is drawn.
    """
    size = {"height": height, "width": width}
    pictures = augmented_views(members, augment, count=count, seed=seed, key=key)
    latents = {"images": [encoder([on_canvas(picture, **size)], **size) for picture in pictures]}
    if "reference.mp4" in members:
        video = (on_canvas(frame, **size) for frame in read_lossless(members["reference.mp4"]))
        latents["video"] = [encoder(video, **size)]
    return {name: torch.cat(parts, dim=1) for name, parts in latents.items() if parts}


def augmented_views(
    members: dict[str, bytes], augment: ReferenceAugmentation, *, count: int, seed: int, key: str
) -> Iterator[np.ndarray]:
    """`count` views of the reference picture, `h w 3` uint8 RGB on a black canvas of its size.

    A picture with a mask is cut out first (U A.2). None where there is no picture, or nothing of the subject in it.
    """
    if "reference.png" not in members:
        return
    picture, mask = _decoded(members["reference.png"], cv2.IMREAD_COLOR)[..., ::-1], None
    if "reference_mask.png" in members:
        mask = _decoded(members["reference_mask.png"], cv2.IMREAD_GRAYSCALE)
        if not mask.any():
            return
        picture = picture * (mask > 0)[..., None]
    height, width = picture.shape[:2]
    for number in range(count):
        view = augment_reference(
            np.ascontiguousarray(picture), augment, seed=seed, clip_id=key, number=number, mask=mask
        ).picture
        yield on_canvas(view, height, width)


def on_canvas(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture `h w 3` uint8 in the middle of `height` x `width` black pixels, see `fit_reference`."""
    if picture.shape[:2] == (height, width):
        return picture
    pixels = rearrange(torch.from_numpy(np.ascontiguousarray(picture)), "h w c -> c h w").float()
    return rearrange(fit_reference(pixels, height, width), "c h w -> h w c").to(torch.uint8).numpy()


def _decoded(png: bytes, how: int) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), how)
