"""One-order degradation (S 5.1.4, U 3.3): blur, resize, noise and compression, once each and lightly.

As in real footage the parameters belong to the clip: they are drawn once and hold for all of its frames, only the noise
is new in every frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from einops import rearrange

from .compression import through_h264, through_jpeg
from .config import SyntheticDegradation
from .randomness import SYNTHETIC_CLIP, SYNTHETIC_NOISE, keyed_generator

_INTERPOLATIONS = ("area", "linear", "cubic")
_MODES = {"linear": "bilinear", "cubic": "bicubic"}


@dataclass(frozen=True, kw_only=True)
class SyntheticDraw:
    """What one clip got.

    Attributes:
        blur: Standard deviations along the two axes, pixels of the smaller frame; None for no blur.
        angle: Of the first axis, radians.
        scale: Factor that the frame is made smaller by.
        interpolation: How.
        noise: Kind, or None.
        noise_sigma: Standard deviation in steps of 0 to 255, of Poisson noise where the picture is white.
        grey: The noise is the same in all channels.
        compression: Kind, or None.
        level: JPEG's quality or H.264's constant rate factor.
    """

    blur: tuple[float, float] | None
    angle: float
    scale: float
    interpolation: Literal["area", "linear", "cubic"]
    noise: Literal["gaussian", "poisson"] | None
    noise_sigma: float
    grey: bool
    compression: Literal["jpeg", "h264"] | None
    level: int


def draw_synthetic(config: SyntheticDegradation, *, seed: int, clip_id: str) -> SyntheticDraw:
    """The parameters of a clip.

    Every one has a random number of its own, so a change of one setting leaves the other parameters as they were.

    Raises:
        ValueError: seed out of its range.
    """
    parts = iter(keyed_generator(seed, clip_id, SYNTHETIC_CLIP).random(13).tolist())

    def within(low: float, high: float) -> float:
        return low + (high - low) * next(parts)

    def happens(probability: float) -> bool:
        return next(parts) < probability

    def choice(*values: str) -> str:
        return values[int(len(values) * next(parts))]

    def whole(low: int, high: int) -> int:
        return low + int((high + 1 - low) * next(parts))

    is_blurred, is_anisotropic = happens(config.blur_probability), happens(config.anisotropic_probability)
    first, second, angle = within(*config.blur_sigma), within(*config.blur_sigma), within(0, math.pi)
    scale, any_interpolation = within(*config.scale), choice(*_INTERPOLATIONS)
    is_noisy, is_poisson = happens(config.noise_probability), happens(config.poisson_probability)
    noise_sigma, grey = within(*config.noise_sigma), happens(config.grey_probability)
    either = choice("jpeg", "h264")
    compression = {"none": None, "either": either}.get(config.compression, config.compression)
    level = whole(*(config.h264_crf if compression == "h264" else config.jpeg_quality))
    return SyntheticDraw(
        blur=(first, second if is_anisotropic else first) if is_blurred else None,
        angle=angle,
        scale=scale,
        interpolation=any_interpolation if config.interpolation == "any" else config.interpolation,
        noise=("poisson" if is_poisson else "gaussian") if is_noisy else None,
        noise_sigma=noise_sigma,
        grey=grey,
        compression=compression,
        level=level,
    )


def degrade_synthetic(
    frames: Iterable[np.ndarray], config: SyntheticDegradation, *, seed: int, clip_id: str, first_frame: int = 0
) -> Iterator[np.ndarray]:
    """A degraded clip, frame by frame.

    Blur, resize, noise, compression, in this order. About 20 frames are in memory, however long the clip is.

    Args:
        frames: `h w 3` uint8 RGB, all of one size; the whole clip, because H.264 looks at it as a whole.
        config: what to draw from.
        seed: 0 to 2**64 - 1.
        clip_id: name of the clip; the same name and seed give the same bytes.
        first_frame: number of the first frame, which the noise depends on.

    Returns:
        As many frames uint8: `h / scale` x `w / scale`, rounded, or `h w 3` with `restore_size`. Where nothing is to be
        done, the frames themselves.

    Raises:
        ValueError: seed or first_frame out of range at once; during the iteration frames that are no such pictures or
            of different sizes.
    """
    keyed_generator(seed, clip_id, SYNTHETIC_NOISE, first_frame)  # mistakes show here, not at the first frame
    draw = draw_synthetic(config, seed=seed, clip_id=clip_id)
    return _degrade(frames, draw, config.restore_size, seed, clip_id, first_frame)


def _degrade(
    frames: Iterable[np.ndarray], draw: SyntheticDraw, restore_size: bool, seed: int, clip_id: str, first_frame: int
) -> Iterator[np.ndarray]:
    size: list[int] = []

    def uncompressed() -> Iterator[np.ndarray]:
        for index, frame in enumerate(frames):
            _check_frame(frame, size, index)
            generator = keyed_generator(seed, clip_id, SYNTHETIC_NOISE, first_frame + index)
            yield degrade_frame(frame, draw, generator)

    stream = uncompressed()
    if draw.compression == "jpeg":
        stream = through_jpeg(stream, draw.level)
    elif draw.compression == "h264":
        stream = through_h264(stream, draw.level)
    for frame in stream:
        if restore_size and frame.shape[:2] != tuple(size):
            yield _to_uint8(_resize(frame.astype(np.float32), size[0], size[1], "linear"))
        else:
            yield frame


def degrade_frame(frame: np.ndarray, draw: SyntheticDraw, generator: np.random.Generator) -> np.ndarray:
    """Blur, resize and noise of one frame `h w 3` uint8, rounded once at the end; the frame itself if all are off."""
    height, width = (max(1, round(side / draw.scale)) for side in frame.shape[:2])
    picture = frame
    if draw.blur is not None:
        first, second = (sigma * draw.scale for sigma in draw.blur)
        picture = _blur(picture.astype(np.float32), first, second, draw.angle)
    if (height, width) != frame.shape[:2]:
        picture = _resize(picture.astype(np.float32, copy=False), height, width, draw.interpolation)
    if draw.noise is not None and draw.noise_sigma > 0:
        picture = picture.astype(np.float32, copy=False)
        picture = picture + _noise(picture, draw, generator)
    return picture if picture is frame else _to_uint8(picture)


def gaussian_kernel(first: float, second: float, angle: float) -> np.ndarray:
    """A Gaussian with the standard deviations `first` along `angle` (radians from x to y) and `second` across it.

    Returns:
        float32 `size size`, odd, at least three deviations to each side, sum 1.
    """
    radius = max(1, math.ceil(3 * max(first, second)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
    along = (x * math.cos(angle) + y * math.sin(angle)) / first
    across = (y * math.cos(angle) - x * math.sin(angle)) / second
    kernel = np.exp(-0.5 * (along**2 + across**2))
    return (kernel / kernel.sum()).astype(np.float32)


def _blur(picture: np.ndarray, first: float, second: float, angle: float) -> np.ndarray:
    if first != second:
        return cv2.filter2D(picture, -1, gaussian_kernel(first, second, angle), borderType=cv2.BORDER_REFLECT_101)
    # The same kernel as a product of two rows, which is faster.
    row = gaussian_kernel(first, first, 0).sum(axis=0)
    return cv2.sepFilter2D(picture, -1, row, row, borderType=cv2.BORDER_REFLECT_101)


def _resize(picture: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """float32 `h w c` at another size; without aliasing, which the output of a T2V model does not have."""
    if interpolation == "area":
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    tensor = rearrange(torch.from_numpy(picture), "h w c -> 1 c h w")
    resized = torch.nn.functional.interpolate(
        tensor, size=(height, width), mode=_MODES[interpolation], align_corners=False, antialias=True
    )
    return rearrange(resized, "1 c h w -> h w c").contiguous().numpy()


def _noise(picture: np.ndarray, draw: SyntheticDraw, generator: np.random.Generator) -> np.ndarray:
    """float32 `h w 3`, or `h w 1` if grey, with mean 0."""
    if draw.noise == "gaussian":
        shape = (*picture.shape[:2], 1) if draw.grey else picture.shape
        return generator.standard_normal(shape, dtype=np.float32) * np.float32(draw.noise_sigma)
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None] if draw.grey else picture
    light = light.clip(0, 255) / 255
    # A white pixel of so many photons has the deviation sqrt(photons) of them.
    photons = (255 / draw.noise_sigma) ** 2
    return ((generator.poisson(light * photons) / photons - light) * 255).astype(np.float32)


def _to_uint8(picture: np.ndarray) -> np.ndarray:
    return np.rint(picture).clip(0, 255).astype(np.uint8)


def _check_frame(frame: np.ndarray, size: list[int], index: int) -> None:
    """Raises ValueError for what is no frame or has another size than the first one, which is kept in `size`."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"frame {index} is {frame.dtype} of shape {frame.shape}, expected uint8 height x width x 3")
    size[:] = size or frame.shape[:2]
    if frame.shape[:2] != tuple(size):
        raise ValueError(
            f"frame {index} has {frame.shape[1]}x{frame.shape[0]} pixels, the clip began with {size[1]}x{size[0]}: "
            "all frames of a clip need one size"
        )
