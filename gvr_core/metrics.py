"""How close two clips are and how sharp and steady one is.

Clips are `t h w c` RGB, uint8 or floating point in [0, 1], as numpy arrays or torch tensors. Frames are converted one
at a time, so a long clip costs no second copy.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from torch import Tensor

_LUMA = np.array([0.2126, 0.7152, 0.0722])  # BT.709
_WINDOW, _SIGMA = 11, 1.5  # Wang et al. 2004
_K1, _K2 = 0.01, 0.03


def psnr(clip: np.ndarray | Tensor, reference: np.ndarray | Tensor) -> float:
    """Peak signal-to-noise ratio in dB: -10 log10 of the mean squared error over the whole clip; inf when equal.

    Raises:
        ValueError: clips of different shape, not `t h w c`, empty, or of another type or range.
    """
    pairs = _pairs(clip, reference)
    error = float(np.mean([np.mean((a - b) ** 2) for a, b in pairs]))
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ssim(clip: np.ndarray | Tensor, reference: np.ndarray | Tensor) -> float:
    """Structural similarity in [-1, 1], mean over channels, pixels and frames; 1 when equal.

    Wang et al. 2004: Gaussian window of 11 x 11, sigma 1.5, K1 0.01, K2 0.03, population covariance. Only places where
    the window lies wholly inside the picture count.

    Raises:
        ValueError: as `psnr`, or frames smaller than the window.
    """
    height, width = clip.shape[1:3] if clip.ndim == 4 else (0, 0)
    pairs = _pairs(clip, reference)
    if min(height, width) < _WINDOW:
        raise ValueError(f"frames are {width}x{height}, SSIM needs at least {_WINDOW}x{_WINDOW} pixels")
    return float(np.mean([_frame_ssim(a, b) for a, b in pairs]))


def laplacian_energy(clip: np.ndarray | Tensor) -> float:
    """Sharpness: mean square of the 4-neighbour Laplacian of luma in [0, 1], borders left out; 0 for flat colour.

    It counts noise as detail, so it is read beside PSNR and flicker.

    Raises:
        ValueError: not `t h w c`, empty, smaller than 3 x 3, or of another type or range.
    """
    _check(clip)
    if min(clip.shape[1:3]) < 3:
        raise ValueError(f"frames are {clip.shape[2]}x{clip.shape[1]}, the Laplacian needs at least 3x3 pixels")
    return float(np.mean([np.mean(_laplacian(frame)[1:-1, 1:-1] ** 2) for frame in _frames(clip)]))


def laplacian_energy_map(picture: np.ndarray) -> np.ndarray:
    """Where a picture is detailed: the square of `laplacian_energy`'s Laplacian, `h w` float64.

    Args:
        picture: `h w c` RGB, uint8 or floating point in [0, 1].
    """
    _check(picture[None])
    return _laplacian(next(_frames(picture[None]))) ** 2


def temporal_flicker(clip: np.ndarray | Tensor) -> float:
    """Unsteadiness: mean absolute second difference over time of luma in [0, 1]; 0 below three frames.

    Steady fades give 0; motion counts too, so it compares versions of one clip, not different clips.

    Raises:
        ValueError: not `t h w c`, empty, or of another type or range.
    """
    _check(clip)
    total, before = 0.0, []
    for frame in _frames(clip):
        before = [*before[-2:], frame @ _LUMA]
        if len(before) == 3:
            total += float(np.mean(np.abs(before[2] - 2 * before[1] + before[0])))
    return total / max(len(clip) - 2, 1)


def _laplacian(frame: np.ndarray) -> np.ndarray:
    return cv2.Laplacian(frame @ _LUMA, cv2.CV_64F, ksize=1)


def _frame_ssim(a: np.ndarray, b: np.ndarray) -> float:
    mean_a, mean_b = _smooth(a), _smooth(b)
    variance_a, variance_b = _smooth(a * a) - mean_a**2, _smooth(b * b) - mean_b**2
    covariance = _smooth(a * b) - mean_a * mean_b
    c1, c2 = _K1**2, _K2**2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    border = _WINDOW // 2
    return float(np.mean(similarity[border:-border, border:-border]))


def _smooth(picture: np.ndarray) -> np.ndarray:
    kernel = cv2.getGaussianKernel(_WINDOW, _SIGMA, cv2.CV_64F)
    return cv2.sepFilter2D(picture, cv2.CV_64F, kernel, kernel).reshape(picture.shape)


def _pairs(clip: np.ndarray | Tensor, reference: np.ndarray | Tensor) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if tuple(clip.shape) != tuple(reference.shape):
        raise ValueError(
            f"clips have shapes {tuple(clip.shape)} and {tuple(reference.shape)}, expected two equal `t h w c`"
        )
    _check(clip)
    _check(reference)
    return zip(_frames(clip), _frames(reference), strict=True)


def _check(clip: np.ndarray | Tensor) -> None:
    if clip.ndim != 4 or clip.shape[3] != 3 or 0 in clip.shape:
        raise ValueError(f"clip has shape {tuple(clip.shape)}, expected `t h w c` with 3 channels and no empty side")


def _frames(clip: np.ndarray | Tensor) -> Iterator[np.ndarray]:
    """Frames `h w c`, float64 in [0, 1]."""
    for frame in clip:
        if isinstance(frame, Tensor):
            # numpy knows no bfloat16.
            frame = (frame.float() if frame.is_floating_point() else frame).detach().cpu().numpy()
        if frame.dtype == np.uint8:
            yield frame / 255.0
            continue
        if not np.issubdtype(frame.dtype, np.floating):
            raise ValueError(f"clip is {frame.dtype}, expected uint8 or floating point in [0, 1]")
        low, high = float(frame.min()), float(frame.max())
        if not (low >= -0.01 and high <= 1.01):  # NaN fails too
            raise ValueError(f"clip has values from {low:g} to {high:g}, expected [0, 1]: scale or clamp it")
        yield frame.astype(np.float64)
