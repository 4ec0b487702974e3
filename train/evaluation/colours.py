"""Colour: how far a result's mean colour is from what it was made from, and whether that grows over time.

The colour of a frame is its mean in CIE L*a*b* (D65, from sRGB); a distance in it is Delta E*ab of 1976; about 2 can be
seen side by side. A mean does not depend on the size, so the low-resolution input serves as well as the original.
"""

from __future__ import annotations

import numpy as np

from .metric import Figure, Missing, Sample, mismatch

_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_TO_XYZ = (_TO_XYZ / _TO_XYZ.sum(axis=1, keepdims=True)).astype(np.float32)  # white is 1, 1, 1
_FROM_ROOTS = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]])
_KNEE = 6 / 29


def _linearise(value: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _root(value: np.ndarray) -> np.ndarray:
    """The compressed cube root of CIE 15."""
    return np.where(value > _KNEE**3, np.cbrt(value), value / (3 * _KNEE**2) + 4 / 29).astype(np.float32)


_LINEAR = _linearise(np.arange(256) / 255)
_ROOTS = _root(np.arange(65536) / 65535)
"""In steps that move L* by at most 0.014. OpenCV's own conversion is off by up to 0.2, as much as a cascade may be."""


def mean_colours(clip: np.ndarray) -> np.ndarray:
    """Mean L*, a*, b* of every frame, `t 3`; L* in 0 to 100.

    Args:
        clip: `t h w 3` RGB, uint8 or floating point in [0, 1].
    """
    roots = []
    for frame in clip:
        linear = _LINEAR[frame] if frame.dtype == np.uint8 else _linearise(frame)
        steps = (linear @ _TO_XYZ.T).clip(0, 1) * 65535 + 0.5
        roots.append(_ROOTS[steps.astype(np.uint16)].mean(axis=(0, 1), dtype=float))
    # L*, a* and b* are linear in the roots, so the mean of the roots will do.
    return np.array(roots) @ _FROM_ROOTS.T - [16, 0, 0]


def colour_error(sample: Sample) -> Figure:
    """Mean over the frames of the distance of the two mean colours, in Delta E*ab; 0 when equal."""
    difference = _difference(sample)
    return difference if isinstance(difference, Missing) else float(np.linalg.norm(difference, axis=1).mean())


def colour_drift(sample: Sample) -> Figure:
    """What the colour moves away from first to last frame, in Delta E*ab.

    Length of the least-squares slope over time of the difference of the two mean colours, times the t - 1 steps of the
    clip: a constant cast gives 0, a cast that grows evenly to x gives x, a cut or fade of the original itself nothing.
    """
    difference = _difference(sample)
    if isinstance(difference, Missing):
        return difference
    if len(difference) < 2:
        return Missing("a clip of one frame cannot drift")
    time = np.arange(len(difference)) - (len(difference) - 1) / 2
    slope = time @ difference / (time @ time)
    return float(np.linalg.norm(slope) * (len(difference) - 1))


def _difference(sample: Sample) -> np.ndarray | Missing:
    """Mean colours of the clip less those of its original, or of its input where there is no original; `t 3`."""
    if sample.is_original:
        return mismatch(sample)
    truth = sample.source if sample.original is None else sample.original
    if truth is None:
        return Missing("there is neither an original nor an input to compare colours with")
    if len(truth) != len(sample.clip):
        return Missing(f"the clip has {len(sample.clip)} frames, what it is compared with {len(truth)}")
    return mean_colours(sample.clip) - mean_colours(truth)
