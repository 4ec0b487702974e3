"""Is a clip good enough: light, sharpness and picture quality of a few frames (S 5.1.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from gvr_core.video import VideoInfo

from ..data import resize_short_side
from .config import FilterConfig
from .source_clips import Clip, ClipError, UnfitError, tool_errors

PREVIEW_SIDE = 120
"""Rows of the small picture for the report."""
MOST_STRETCH = 0.01
"""Of a pixel; nobody sees it."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What is known of a clip after all its frames were decoded once.

    Attributes:
        frames: their real number; headers may promise more.
        fps: frames per second as a fraction, "30000/1001".
        height: pixels of a frame.
        width: as height.
        luma: mean luma (BT.601), 0 to 255.
        laplacian: variance of the Laplacian of the gray picture.
        quality: mean of the quality measure; None where it was not measured or gave no number.
        preview: a small frame from the middle, `h w 3` uint8 RGB.
    """

    frames: int
    fps: str
    height: int
    width: int
    luma: float
    laplacian: float
    quality: float | None
    preview: np.ndarray


def measure_clip(clip: Clip, config: FilterConfig, quality: Callable[[np.ndarray], float] | None) -> Measures:
    """Decode a clip to its end, so that damage is found now, and measure `config.frames` frames of it.

    Raises:
        ClipError: the clip is damaged.
        UnfitError: its pixels are not what they seem.
        ToolError: the quality measure does not work.
    """
    info = clip.info()
    _check_pixels(info)
    expected = info.frames or sum(1 for _ in clip.frames())
    wanted = set(uniform_positions(expected, config.frames))
    frames, lumas, laplacians, qualities, previews = 0, [], [], [], []
    for number, frame in enumerate(clip.frames()):
        frames = number + 1
        if number in wanted:
            small = resize_short_side(frame, config.short_side)
            gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
            lumas.append(float(gray.mean()))
            laplacians.append(float(cv2.Laplacian(gray, cv2.CV_64F).var()))
            if quality is not None:
                with tool_errors("the measure of picture quality", clip.name):
                    score = quality(small)
                if math.isfinite(score):  # PIQE of a frame without any texture is 0/0
                    qualities.append(score)
            previews.append(resize_short_side(frame, PREVIEW_SIDE))
    if not lumas:
        raise ClipError(f"{clip.name} has no frames")
    return Measures(
        frames=frames,
        fps=str(info.fps),
        height=info.height,
        width=info.width,
        luma=float(np.mean(lumas)),
        laplacian=float(np.mean(laplacians)),
        quality=float(np.mean(qualities)) if qualities else None,
        preview=previews[len(previews) // 2],
    )


def _check_pixels(info: VideoInfo) -> None:
    """Raises UnfitError where a frame's numbers are not the picture as it is meant to be seen."""
    # Writers round the shape of a whole picture: 1280:1281 is a square pixel.
    if abs(info.pixel_aspect - 1) > MOST_STRETCH:
        raise UnfitError(
            f"pixels are not square: {info.pixel_aspect} times as wide as high, people would look squeezed; scale it"
        )
    if info.hdr is not None:
        raise UnfitError(f"HDR: its values are {info.hdr}, read as they are they would be dull; tone-map it")


def uniform_positions(frames: int, count: int) -> list[int]:
    """`count` frame numbers in the middles of equal parts of the clip; fewer where the clip is shorter."""
    return sorted({int((k + 0.5) * frames / count) for k in range(count)})


def rejection(measures: Measures, config: FilterConfig, quality_name: str) -> str | None:
    """Why the clip is dropped, or None."""
    luma, laplacian, quality = measures.luma, measures.laplacian, measures.quality
    if luma < config.luma_least:
        return f"too dark: mean luma {luma:.1f}, at least {config.luma_least:g}"
    if luma > config.luma_most:
        return f"too bright: mean luma {luma:.1f}, at most {config.luma_most:g}"
    if laplacian < config.laplacian_least:
        return f"too blurred: Laplacian variance {laplacian:.1f}, at least {config.laplacian_least:g}"
    if quality_name != "none" and quality is None:
        return f"no picture quality: {quality_name.upper()} gave no number for any frame"
    if quality_name == "musiq" and quality < config.musiq_least:
        return f"poor quality: MUSIQ {quality:.1f}, at least {config.musiq_least:g}"
    if quality_name == "piqe" and quality > config.piqe_most:
        return f"poor quality: PIQE {quality:.1f}, at most {config.piqe_most:g}"
    return None
