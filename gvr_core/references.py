"""References: where their tokens lie on the time axis of RoPE, and how their pixels are brought to the target's size.

ID images and a reference video are zero-padded in pixels to the target size, encoded, patchified and appended to the
target's tokens on the time axis, images first (U 3.2). The position ranges do not overlap (U A.5.7): target [0, 20),
images [20, 30), video [30, 50). A target of more than 20 latent frames would run into the images, so both reference
ranges then move behind it by the same amount (ours). The ranges are stored in the checkpoint.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

logger = logging.getLogger("gvr")


@dataclass(frozen=True, kw_only=True)
class ReferenceRanges:
    """The RoPE time ranges of the references, in latent frames. Defaults are those of U A.5.7.

    Attributes:
        image_start: first position of the images, unless the target is longer.
        video_start: first position of the reference video for that `image_start`.
        max_images: most ID images, one latent frame each.
        max_video: most latent frames of reference video.
    """

    image_start: int = 20
    video_start: int = 30
    max_images: int = 10
    max_video: int = 20

    def __post_init__(self) -> None:
        for name in ("image_start", "max_images", "max_video"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} of the reference ranges is {getattr(self, name)}, expected at least 0")
        if self.video_start < self.image_start + self.max_images:
            raise ValueError(
                f"reference video starts at {self.video_start}, inside the {self.max_images} positions of the images "
                f"from {self.image_start} on: use at least {self.image_start + self.max_images}"
            )


def time_indices(
    target_frames: int, num_images: int, video_frames: int, ranges: ReferenceRanges
) -> tuple[list[int], list[int]]:
    """RoPE time positions of the target's latent frames and of the references', images before video.

    Args:
        target_frames: latent frames of the target, T.
        num_images: ID images.
        video_frames: latent frames of the reference video, 0 for none.
        ranges: the ranges of the checkpoint.

    Returns:
        `T` target positions from 0, and `num_images + video_frames` reference positions. Images begin at
        max(image_start, T) and the video keeps its distance from them, so no position occurs twice.

    Raises:
        ValueError: no target frames, a negative count, too many images or too long a video.
    """
    if target_frames < 1 or num_images < 0 or video_frames < 0:
        raise ValueError(
            f"got {target_frames} target frames, {num_images} reference images and {video_frames} reference video "
            "frames (latent), expected at least 1, 0 and 0: check the video's length"
        )
    if num_images > ranges.max_images:
        raise ValueError(
            f"got {num_images} reference images, expected at most {ranges.max_images}: remove some of them"
        )
    if video_frames > ranges.max_video:
        raise ValueError(
            f"the reference video has {video_frames} latent frames, expected at most {ranges.max_video}: shorten it"
        )
    image_start = max(ranges.image_start, target_frames)
    video_start = image_start + ranges.video_start - ranges.image_start
    images = range(image_start, image_start + num_images)
    video = range(video_start, video_start + video_frames)
    return list(range(target_frames)), [*images, *video]


def fit_reference(reference: Tensor, height: int, width: int) -> Tensor:
    """`reference` centred on a `height` x `width` canvas of zeros (U 3.2).

    A reference larger than the canvas is first shrunk by area averaging until it fits, keeping its aspect ratio (ours).
    It is never enlarged. The padding is the number 0, black for pixels in [0, 1].

    Args:
        reference: image `c h w` or video `c t h w` with c = 3, floating point.
        height: rows of the target, in pixels.
        width: columns of the target, in pixels.

    Returns:
        `c height width` or `c t height width`, dtype and device of `reference`.

    Raises:
        ValueError: a target size below 1; a reference that is not such a tensor, is empty or has NaN or infinity.
    """
    if height < 1 or width < 1:
        raise ValueError(f"target size is {height} x {width} pixels, expected at least 1 x 1: check the upscale's size")
    _require_pixels(reference)
    rows, columns = reference.shape[-2:]
    if rows > height or columns > width:
        reference = _shrink(reference, height, width)
        shrunk = (columns, rows, *reversed(reference.shape[-2:]))
        logger.warning("a reference of %d x %d pixels is larger than the target: shrunk to %d x %d", *shrunk)
        rows, columns = reference.shape[-2:]
    canvas = reference.new_zeros(*reference.shape[:-2], height, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    canvas[..., top : top + rows, left : left + columns] = reference
    return canvas


def _shrink(reference: Tensor, height: int, width: int) -> Tensor:
    """`reference` at the largest size of its aspect ratio inside `height` x `width`."""
    rows, columns = reference.shape[-2:]
    # Integers, so that the side that decides comes out exactly; at least one pixel of an extreme panorama stays.
    if rows * width > columns * height:
        size = (height, max(1, round(columns * height / rows)))
    else:
        size = (max(1, round(rows * width / columns)), width)
    if reference.ndim == 3:
        return F.interpolate(reference[None], size=size, mode="area")[0]
    frames = F.interpolate(rearrange(reference, "c t h w -> t c h w"), size=size, mode="area")
    return rearrange(frames, "t c h w -> c t h w")


def _require_pixels(reference: Tensor) -> None:
    shape = tuple(reference.shape)
    if reference.ndim not in (3, 4):
        raise ValueError(f"reference has shape {shape}, expected an image (c h w) or a video (c t h w)")
    if reference.numel() == 0:
        raise ValueError(f"reference has shape {shape}, expected at least one frame and one pixel: load another file")
    if shape[0] != 3:
        raise ValueError(f"reference has {shape[0]} channels, expected 3 (RGB): drop alpha or repeat grey")
    if not reference.is_floating_point():
        raise ValueError(f"reference has dtype {reference.dtype}, expected floating point: divide 8-bit pixels by 255")
    if not bool(torch.isfinite(reference).all()):
        raise ValueError("reference has NaN or infinite pixels, expected finite ones: check the node that made it")
