"""Sizes: frames and pixels of a video, the latent cells they become, and the padding and cutting between them.

A video autoencoder with temporal stride 4 sees frames as 4n+1: the first frame alone, then groups of four. Any other
count is padded by repeating the last frame, and the result is cut back to the frames that came in. Rows and columns
are padded to whole latent patches the same way: 1080 rows are 1088 inside and 1080 again after decoding.
This is the only module that knows the strides; everything else asks a `LatentSpace` or an `UpscalePlan`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

MAX_SIDE = 16384
"""Longest output side in pixels: a larger number is a typing mistake, not a video."""


def _require_positive(what: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{what} is {value}, expected at least 1: check the size that was given")


@dataclass(frozen=True, kw_only=True)
class LatentSpace:
    """What an autoencoder's latents look like.

    Attributes:
        name: key of the space, stored in checkpoints.
        channels: latent channels.
        spatial: pixels per latent cell, along height and along width.
        temporal: frames per latent frame after the first.
    """

    name: str
    channels: int
    spatial: int
    temporal: int

    def __post_init__(self) -> None:
        for field in ("channels", "spatial", "temporal"):
            _require_positive(f"{field} of latent space '{self.name}'", getattr(self, field))

    def padded_frames(self, frames: int) -> int:
        """The smallest `temporal * n + 1` that holds `frames`. Raises ValueError below 1 frame."""
        _require_positive("frames", frames)
        return round_up(frames - 1, self.temporal) + 1

    def latent_frames(self, frames: int) -> int:
        """Latent frames of a video of `frames`, after padding. Raises ValueError below 1 frame."""
        return (self.padded_frames(frames) - 1) // self.temporal + 1

    def video_frames(self, latent_frames: int) -> int:
        """Frames that `latent_frames` decode to. Raises ValueError below 1 latent frame."""
        _require_positive("latent frames", latent_frames)
        return (latent_frames - 1) * self.temporal + 1


LATENT_SPACES = MappingProxyType(
    {
        space.name: space
        for space in (
            LatentSpace(name="wan21", channels=16, spatial=8, temporal=4),
            LatentSpace(name="wan22", channels=48, spatial=16, temporal=4),
            LatentSpace(name="hunyuan", channels=16, spatial=8, temporal=4),
            LatentSpace(name="hunyuan15", channels=32, spatial=16, temporal=4),
            LatentSpace(name="nano", channels=48, spatial=8, temporal=4),
        )
    }
)
"""The known latent spaces by name, read-only. wan21 also serves Wan 2.2 A14B; wan22 is the 5B's autoencoder."""


def latent_space(name: str) -> LatentSpace:
    """The latent space called `name`. Raises ValueError, listing the known names, for any other."""
    if name not in LATENT_SPACES:
        raise ValueError(f"latent space '{name}' is not known: use one of {', '.join(LATENT_SPACES)}")
    return LATENT_SPACES[name]


def round_up(n: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not below `n`. Raises ValueError if `multiple` is below 1."""
    _require_positive("multiple", multiple)
    return -(-n // multiple) * multiple


def pad_frames(video: Tensor, space: LatentSpace) -> Tensor:
    """`video` with its last frame repeated until the frame count is `space.padded_frames`.

    Args:
        video: `b c t h w`, at least one frame. Cut the result of the model back with `[:, :, :t]`.
        space: the latent space the video will be encoded into.

    Returns:
        `b c t' h w`, t' = temporal * n + 1; `video` itself when nothing is missing.

    Raises:
        ValueError: `video` is not 5-dimensional or has no frames.
    """
    if video.ndim != 5:
        raise ValueError(f"video has {video.ndim} dimensions, expected 5 (b c t h w): add the missing ones")
    frames = video.shape[2]
    missing = space.padded_frames(frames) - frames
    if missing == 0:
        return video
    return torch.cat([video, video[:, :, -1:].expand(-1, -1, missing, -1, -1)], dim=2)


@dataclass(frozen=True, kw_only=True)
class UpscalePlan:
    """Every size of one upscale. Made by `plan_upscale`.

    Attributes:
        scale: output pixels per input pixel.
        height: exact output rows, in pixels.
        width: exact output columns, in pixels.
        latent_height: rows of the high-resolution latent, a multiple of the model's patch.
        latent_width: columns of the high-resolution latent, a multiple of the model's patch.
        padded_height: rows the latent decodes to; the first `height` of them are the output.
        padded_width: columns the latent decodes to; the first `width` of them are the output.
    """

    scale: float
    height: int
    width: int
    latent_height: int
    latent_width: int
    padded_height: int
    padded_width: int


def plan_upscale(
    space: LatentSpace,
    height: int,
    width: int,
    *,
    scale: float | None = None,
    target_height: int | None = None,
    patch: int = 2,
) -> UpscalePlan:
    """The sizes for enlarging a `height` x `width` video by `scale`, or to `target_height` rows.

    With `scale` each side is `scale * side`, rounded to the nearest even number: video files store colour for blocks of
    2 x 2 pixels, and many writers refuse odd sides. Scale 1 keeps the size, odd or not. With `target_height` the height
    is exact and the width keeps the aspect ratio, rounded to the nearest even number.

    Args:
        space: the latent space of the high-resolution model.
        height: input rows in pixels.
        width: input columns in pixels.
        scale: enlargement, at least 1.
        target_height: output rows in pixels, at least `height`.
        patch: latent cells along one side of a token of the model.

    Raises:
        ValueError: a size below 1; both or neither of `scale` and `target_height`; a scale that is not a positive
            finite number; an output smaller than the input or with a side above `MAX_SIDE`.
    """
    _require_positive("input height", height)
    _require_positive("input width", width)
    _require_positive("patch", patch)
    if (scale is None) == (target_height is None):
        given = "neither" if scale is None else "both"
        raise ValueError(f"got {given} of scale and target_height, expected exactly one: choose how to give the size")

    if scale is not None:
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"scale is {scale}, expected a finite number of at least 1: use for example 2")
        if scale < 1:
            raise ValueError(
                f"scale {scale} makes the target smaller than the input ({height} x {width}): "
                "use at least 1, or shrink with a resize instead"
            )
        # Tested on the product: round() of an infinite one would raise something else.
        if scale * max(height, width) > MAX_SIDE + 0.5:
            raise _too_large(scale * height, scale * width)
        # Halves upwards: never smaller than the input.
        enlarged = (2 * math.floor(scale * side / 2 + 0.5) for side in (height, width))
        out_height, out_width = (height, width) if scale == 1 else enlarged
    else:
        _require_positive("target_height", target_height)
        if target_height < height:
            raise ValueError(
                f"target_height {target_height} is smaller than the input's {height} rows: "
                f"use at least {height}, or shrink with a resize instead"
            )
        scale = target_height / height
        # Integers, halves upwards: never narrower than the input, at any size.
        out_height, out_width = target_height, 2 * ((width * target_height + height) // (2 * height))

    if max(out_height, out_width) > MAX_SIDE:
        raise _too_large(out_height, out_width)

    cell = space.spatial * patch
    padded_height, padded_width = round_up(out_height, cell), round_up(out_width, cell)
    return UpscalePlan(
        scale=float(scale),
        height=out_height,
        width=out_width,
        latent_height=padded_height // space.spatial,
        latent_width=padded_width // space.spatial,
        padded_height=padded_height,
        padded_width=padded_width,
    )


def _too_large(height: float, width: float) -> ValueError:
    return ValueError(
        f"output would be {height:.0f} x {width:.0f} pixels (height x width), expected sides of at most {MAX_SIDE}: "
        "use a smaller scale or target_height"
    )


def pair_size(space: LatentSpace, height: int, width: int, *, scale: int, patch: int = 2) -> tuple[int, int]:
    """Rows and columns that the small video of a training pair is padded to; the clean one is to `scale` times that.

    So a cell of the small latent is `scale` x `scale` cells of the clean one everywhere, and the clean one is made of
    whole tokens. At scale 2 these are exactly the sizes of `plan_upscale`; at others the clean latent
    may have up to `scale` cells more of repeated edge than a result has.

    Args:
        space: the latent space of both.
        height: rows of the low-resolution video, in pixels.
        width: its columns.
        scale: clean pixels per low-resolution pixel.
        patch: latent cells along one side of a token of the model.

    Raises:
        ValueError: a number below 1.
    """
    _require_positive("input height", height)
    _require_positive("input width", width)
    _require_positive("scale", scale)
    _require_positive("patch", patch)
    cell = space.spatial * patch // math.gcd(patch, scale)
    return round_up(height, cell), round_up(width, cell)


def plan_short_side(space: LatentSpace, height: int, width: int, short_side: int, *, patch: int = 2) -> UpscalePlan:
    """The sizes for enlarging a `height` x `width` video until its shorter side is `short_side` pixels ("1080p").

    Portrait or landscape, the shorter side is exact and the other one keeps the aspect ratio, rounded to an even
    number.

    Raises:
        ValueError: a size below 1; `short_side` smaller than the input's shorter side; a side above `MAX_SIDE`.
    """
    if short_side < min(height, width):
        raise ValueError(
            f"target {short_side} is smaller than the input's shorter side ({width} x {height} pixels): "
            f"use at least {min(height, width)}, or shrink with a resize instead"
        )
    if height <= width:
        return plan_upscale(space, height, width, target_height=short_side, patch=patch)
    turned = plan_upscale(space, width, height, target_height=short_side, patch=patch)
    return UpscalePlan(
        scale=turned.scale,
        height=turned.width,
        width=turned.height,
        latent_height=turned.latent_width,
        latent_width=turned.latent_height,
        padded_height=turned.padded_width,
        padded_width=turned.padded_height,
    )
