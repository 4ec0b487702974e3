"""Seams: visible edges of latent cells, windows and tiles, and jumps where pieces of time meet.

Both compare each place where a seam could be with its own neighbourhood, so texture and motion cancel: 1 is none. They
are ours; comparing the luma step across block edges with the steps beside them goes back to Wang, Sheikh and Bovik,
"No-reference perceptual quality assessment of JPEG compressed images", ICIP 2002. What they find in a clip depends a
little on its content, so read them beside the original's.
"""

from __future__ import annotations

import numpy as np

from .metric import Figure, Missing

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # BT.709
_FLOOR = 1 / 2550
"""A tenth of an 8-bit step, added to both sides of every ratio, so that flat regions give 1."""
_REACH = 3
"""Steps on either side of a line that are its neighbourhood."""
_SHARE = 0.25
"""Quantile over the lines: a grid is one where three quarters of its lines show, others are single edges."""


def step_profiles(clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute luma step between neighbouring columns (`w - 1`) and rows (`h - 1`), over all frames, in [0, 1].

    Args:
        clip: `t h w 3` RGB, uint8 or floating point in [0, 1].
    """
    columns, rows = np.zeros(clip.shape[2] - 1), np.zeros(clip.shape[1] - 1)
    for frame in clip:
        luma = _luma(frame)
        columns += np.abs(np.diff(luma, axis=1)).mean(axis=0)
        rows += np.abs(np.diff(luma, axis=0)).mean(axis=1)
    return columns / len(clip), rows / len(clip)


def seam(clip: np.ndarray, width: int, height: int, base: int = 1) -> Figure:
    """How much a grid of cells of `width` x `height` pixels, counted from the top left corner, stands out; 1 = not.

    For every line between two pixels: the mean absolute luma step across it over the median of those 1 to 3 pixels
    beside it. Of the lines of the grid the lower quartile, over the median of the same at other offsets (those within
    a pixel of the grid left out, for a drawn line has two edges): 2 means that steps at the grid are twice what the
    picture has elsewhere. The mean of both directions. A coarser grid does not show in it; the lines of a finer one are
    among its own, unless `base` takes them as the comparison.

    Args:
        clip: `t h w 3` RGB, uint8 or floating point in [0, 1].
        width: pixels of a cell, at least 4.
        height: as width.
        base: compare with offsets that are multiples of this alone: windows of 128 pixels with patches of 16.

    Returns:
        The ratio, or `Missing` for frames without a line of the grid.
    """
    ratios = []
    for profile, period in zip(step_profiles(clip), (width, height), strict=True):
        contrast = _contrast(profile, min(_REACH, (period - 1) // 2))
        position = np.arange(1, len(profile) + 1)
        is_known = np.isfinite(contrast)
        of_offset = [contrast[(position % period == offset) & is_known] for offset in range(period)]
        others = [
            np.quantile(of_offset[k], _SHARE) for k in range(2, period - 1) if k % base == 0 and len(of_offset[k])
        ]
        if len(of_offset[0]) and others:
            ratios.append(np.quantile(of_offset[0], _SHARE) / np.median(others))
    if not ratios:
        size = f"{clip.shape[2]}x{clip.shape[1]}"
        return Missing(f"frames of {size} pixels have no line of a grid of {width}x{height}")
    return float(np.mean(ratios))


def jump(clip: np.ndarray, every: int, first: int) -> Figure:
    """How much frames `first`, `first + every`, ... differ from the one before, against the steps around; 1 = no more.

    For each such frame b: J(b) over the mean of J(b - 1) and J(b + 1), where J(t) is the mean absolute luma difference
    of frames t - 1 and t; the median over b. Steady motion gives 1, however fast.

    Args:
        clip: `t h w 3` RGB, uint8 or floating point in [0, 1].
        every: frames between borders, at least 3. A causal video VAE makes 4 frames of a latent: 4; temporal units of
            5 latents: 20.
        first: the first border, a frame index: 1 for latents (frame 0 is alone), 17 for units of 5.

    Returns:
        The ratio, or `Missing` for a clip without a border that has a step on both sides.
    """
    steps, before = [np.nan], None
    for frame in clip:
        luma = _luma(frame)
        if before is not None:
            steps.append(float(np.abs(luma - before).mean()))
        before = luma
    borders = [b for b in range(first, len(clip) - 1, every) if b >= 2]
    if not borders:
        return Missing(f"{len(clip)} frames have no border at {first} + n x {every} with a step on both sides")
    return float(np.median([(steps[b] + _FLOOR) / ((steps[b - 1] + steps[b + 1]) / 2 + _FLOOR) for b in borders]))


def _contrast(profile: np.ndarray, reach: int) -> np.ndarray:
    """Each step over the median of its neighbours; NaN where the neighbourhood leaves the picture."""
    contrast = np.full(len(profile), np.nan)
    inner = range(reach, len(profile) - reach)
    if not inner:
        return contrast
    shifts = [d for d in range(-reach, reach + 1) if d]
    around = np.median([profile[inner.start + d : inner.stop + d] for d in shifts], axis=0)
    contrast[inner.start : inner.stop] = (profile[inner.start : inner.stop] + _FLOOR) / (around + _FLOOR)
    return contrast


def _luma(frame: np.ndarray) -> np.ndarray:
    scale = np.float32(255) if frame.dtype == np.uint8 else np.float32(1)
    return frame.astype(np.float32) @ _LUMA / scale
