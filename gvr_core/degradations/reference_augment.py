"""Augmentation of references (U 3.4, A.2 and Table 3), so that a model learns from them instead of copying them.

A picture becomes a little brighter or darker, is mirrored, sheared, turned and cropped. All of it but the brightness is
one affine map and so one interpolation: U leaves out everything that would cost sharpness. A reference video starts a
few frames earlier or later than its target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .config import ReferenceAugmentation
from .randomness import REFERENCE_PICTURE, REFERENCE_VIDEO, keyed_generator


@dataclass(frozen=True, kw_only=True)
class ReferenceDraw:
    """What one picture got.

    Attributes:
        brightness: Factor.
        flipped: Mirrored, left to right.
        shear: Along x and along y: how far the lower edge moves against the upper one to the right, and the right edge
            against the left one downwards, pixels.
        rotation: Counter-clockwise, degrees.
        left: First column that is kept.
        top: First row that is kept.
        width: Columns that are kept.
        height: Rows that are kept.
    """

    brightness: float
    flipped: bool
    shear: tuple[float, float]
    rotation: float
    left: int
    top: int
    width: int
    height: int


class Reference(NamedTuple):
    """An augmented picture `h w 3` and its mask `h w`, uint8; 0 where nothing of the picture lies."""

    picture: np.ndarray
    mask: np.ndarray


def draw_reference(
    config: ReferenceAugmentation, *, height: int, width: int, seed: int, clip_id: str, number: int = 0
) -> ReferenceDraw:
    """The parameters of one picture of `height` x `width` pixels.

    Every one has a random number of its own, so a change of one setting leaves the other parameters as they were.

    Args:
        config: what to draw from.
        height: pixels.
        width: pixels.
        seed: 0 to 2**64 - 1.
        clip_id: name of the clip that the picture belongs to.
        number: of the picture among the clip's references.

    Raises:
        ValueError: seed or number out of range.
    """
    parts = iter(keyed_generator(seed, clip_id, REFERENCE_PICTURE, number).random(9).tolist())

    def within(low: float, high: float) -> float:
        return low + (high - low) * next(parts)

    brightness, flipped = within(*config.brightness), next(parts) < config.flip_probability
    shear = (within(-config.shear, config.shear) * width, within(-config.shear, config.shear) * height)
    rotation, is_cropped = within(-config.rotation, config.rotation), next(parts) < config.crop_probability
    scale = within(*config.crop_scale)
    kept_height, kept_width = (max(1, round(side * scale)) if is_cropped else side for side in (height, width))
    # Whole pixels: a crop alone is an exact copy.
    return ReferenceDraw(
        brightness=brightness,
        flipped=flipped,
        shear=shear,
        rotation=rotation,
        left=int(next(parts) * (width - kept_width + 1)),
        top=int(next(parts) * (height - kept_height + 1)),
        width=kept_width,
        height=kept_height,
    )


def affine_map(draw: ReferenceDraw, *, height: int, width: int) -> np.ndarray:
    """Where the pixels of a picture of `height` x `width` go: mirrored, sheared along x, then y, turned, cropped.

    All about the centre of the picture. Pixel centres have whole coordinates.

    Returns:
        float64 `3 3`, from (x, y, 1) before to (x, y, 1) after.
    """
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    angle = math.radians(draw.rotation)
    cos, sin = math.cos(angle), math.sin(angle)
    to_centre = np.array([[1, 0, -centre_x], [0, 1, -centre_y], [0, 0, 1]])
    flip = np.diag([-1.0 if draw.flipped else 1.0, 1, 1])
    shear_x = np.array([[1, draw.shear[0] / height, 0], [0, 1, 0], [0, 0, 1]])
    shear_y = np.array([[1, 0, 0], [draw.shear[1] / width, 1, 0], [0, 0, 1]])
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])  # y points down
    to_crop = np.array([[1, 0, centre_x - draw.left], [0, 1, centre_y - draw.top], [0, 0, 1]])
    return to_crop @ turn @ shear_y @ shear_x @ flip @ to_centre


def augment_reference(
    picture: np.ndarray,
    config: ReferenceAugmentation,
    *,
    seed: int,
    clip_id: str,
    number: int = 0,
    mask: np.ndarray | None = None,
) -> Reference:
    """A reference picture after U's Table 3, in the order of the table.

    Args:
        picture: `h w 3` uint8 RGB; a cut-out is 0 outside of its mask.
        config: what to draw from.
        seed: 0 to 2**64 - 1.
        clip_id: name of the clip that the picture belongs to; the same name, number and seed give the same bytes.
        number: of the picture among the clip's references.
        mask: `h w` uint8, 255 on the subject; None for the whole picture.

    Returns:
        Picture and mask of the kept part, at the scale of the input ("ours": a crop is not enlarged again, because
        references are padded with zeros anyway). What comes from outside of the picture is 0.

    Raises:
        ValueError: a picture or mask of another shape or dtype, seed or number out of range.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"the reference is {picture.dtype} of shape {picture.shape}, expected uint8 height x width x 3: give alpha "
            "as the mask"
        )
    height, width = picture.shape[:2]
    if mask is None:
        mask = np.full((height, width), 255, dtype=np.uint8)
    if mask.dtype != np.uint8 or mask.shape != (height, width):
        raise ValueError(
            f"the mask is {mask.dtype} of shape {mask.shape}, expected uint8 {height} x {width} like the reference: "
            "give 255 on the subject and 0 elsewhere"
        )
    draw = draw_reference(config, height=height, width=width, seed=seed, clip_id=clip_id, number=number)
    return Reference(
        _warp(_brighten(picture, draw.brightness), draw, cv2.INTER_CUBIC), _warp(mask, draw, cv2.INTER_LINEAR)
    )


def shift_start(
    config: ReferenceAugmentation, *, start: int, frames: int, clip_frames: int, seed: int, clip_id: str
) -> int:
    """Where a reference video begins whose target begins at `start` (U 3.4).

    Uniform over the starts that are at most `video_shift` away and leave the whole reference within the clip.

    Args:
        config: has the largest shift.
        start: first frame of the target.
        frames: length of target and reference.
        clip_frames: length of the clip that both are cut from.
        seed: 0 to 2**64 - 1.
        clip_id: name of the clip.

    Raises:
        ValueError: the target itself does not lie within the clip, or the seed is out of range.
    """
    if not (frames >= 1 and 0 <= start <= clip_frames - frames):
        raise ValueError(
            f"{frames} frames from frame {start} do not lie in a clip of {clip_frames} frames: choose an earlier start "
            "or fewer frames"
        )
    earliest = max(0, start - config.video_shift)
    latest = min(clip_frames - frames, start + config.video_shift)
    return int(keyed_generator(seed, clip_id, REFERENCE_VIDEO, start).integers(earliest, latest + 1))


def _brighten(picture: np.ndarray, factor: float) -> np.ndarray:
    levels = np.rint(np.arange(256) * factor).clip(0, 255).astype(np.uint8)
    return levels[picture]


def _warp(picture: np.ndarray, draw: ReferenceDraw, interpolation: int) -> np.ndarray:
    height, width = picture.shape[:2]
    forward = affine_map(draw, height=height, width=width)[:2]
    return cv2.warpAffine(picture, forward, (draw.width, draw.height), flags=interpolation, borderValue=0)
