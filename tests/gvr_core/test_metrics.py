"""Metrics against scikit-image, their formulas and their behaviour on known pictures."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gvr_core.metrics import laplacian_energy, laplacian_energy_map, psnr, ssim, temporal_flicker


def _clips(seed, shape=(3, 24, 31, 3), noise=0.1):
    rng = np.random.default_rng(seed)
    clip = rng.random(shape)
    return clip, np.clip(clip + noise * rng.standard_normal(shape), 0, 1)


@given(seed=st.integers(0, 10**6), noise=st.floats(0.001, 0.5))
def test_psnr_equals_scikit_image_on_the_whole_clip(seed, noise):
    clip, other = _clips(seed, noise=noise)
    assert psnr(other, clip) == pytest.approx(peak_signal_noise_ratio(clip, other, data_range=1), abs=1e-9)


def test_psnr_is_of_the_clip_not_a_mean_of_frames():
    clip = np.zeros((2, 16, 16, 3))
    other = clip.copy()
    other[1] = 0.1
    assert psnr(other, clip) == pytest.approx(10 * np.log10(1 / 0.005))


@given(seed=st.integers(0, 10**6), noise=st.floats(0.0, 0.5))
def test_ssim_equals_scikit_image(seed, noise):
    clip, other = _clips(seed, noise=noise)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    expected = np.mean(
        [structural_similarity(a, b, channel_axis=2, **settings) for a, b in zip(clip, other, strict=True)]
    )
    assert ssim(other, clip) == pytest.approx(expected, abs=1e-4)


def test_equal_clips():
    clip, _ = _clips(0)
    assert psnr(clip, clip) == float("inf")
    assert ssim(clip, clip) == pytest.approx(1)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_bytes_floats_and_tensors_agree(metric):
    clip, other = ((255 * c).round().astype(np.uint8) for c in _clips(1))
    expected = metric(other, clip)
    assert metric(other / 255, clip) == pytest.approx(expected, rel=1e-6)
    assert metric(torch.from_numpy(other), torch.from_numpy(clip)) == expected
    assert metric(torch.from_numpy(other) / 255, clip) == pytest.approx(expected, rel=1e-4)
    assert metric(torch.from_numpy(other / 255).bfloat16(), clip) == pytest.approx(expected, rel=1e-2)


def test_laplacian_of_a_parabola_is_its_second_derivative():
    y, x = np.mgrid[0:20, 0:30] / 30
    picture = np.repeat((0.3 * x**2 + 0.2 * y**2)[..., None], 3, 2)
    expected = ((2 * 0.3 + 2 * 0.2) / 30**2) ** 2
    assert laplacian_energy(picture[None]) == pytest.approx(expected)
    np.testing.assert_allclose(laplacian_energy_map(picture)[1:-1, 1:-1], expected)


def test_laplacian_weighs_colours_as_luma():
    point = np.zeros((1, 5, 5, 3))
    point[0, 2, 2, 1] = 1
    assert laplacian_energy(point) == pytest.approx(0.7152**2 * (16 + 4) / 9)


def test_blur_lowers_sharpness():
    clip, _ = _clips(2)
    blurred = (clip + np.roll(clip, 1, 1) + np.roll(clip, 1, 2)) / 3
    assert laplacian_energy(blurred) < 0.5 * laplacian_energy(clip)


def test_flicker_is_the_second_difference():
    ramp = np.linspace(0, 0.9, 6)[:, None, None, None] * np.ones((1, 8, 8, 3))
    assert temporal_flicker(ramp) == pytest.approx(0, abs=1e-12)
    blinking = np.zeros((6, 8, 8, 3))
    blinking[::2] = 0.25
    assert temporal_flicker(blinking) == pytest.approx(0.5)
    assert temporal_flicker(blinking[:2]) == 0


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_different_shapes_are_refused(metric):
    clip, _ = _clips(3)
    with pytest.raises(ValueError, match=r"clips have shapes \(3, 24, 31, 3\) and \(2, 24, 31, 3\)"):
        metric(clip, clip[:2])


@pytest.mark.parametrize("metric", [lambda c: psnr(c, c), lambda c: ssim(c, c), laplacian_energy, temporal_flicker])
@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros((24, 31, 3)), "expected `t h w c`"),
        (np.zeros((3, 24, 31, 4)), "expected `t h w c` with 3 channels"),
        (np.zeros((0, 24, 31, 3)), "no empty side"),
        (np.full((3, 24, 31, 3), 7.0), r"values from 7 to 7, expected \[0, 1\]"),
        (np.full((3, 24, 31, 3), np.nan), "values from nan to nan"),
        (np.zeros((3, 24, 31, 3), np.int32), "clip is int32"),
    ],
)
def test_other_clips_are_refused(metric, clip, message):
    with pytest.raises(ValueError, match=message):
        metric(clip)


def test_frames_below_the_window_are_refused():
    small = np.zeros((1, 10, 20, 3))
    with pytest.raises(ValueError, match="frames are 20x10, SSIM needs at least 11x11"):
        ssim(small, small)
    with pytest.raises(ValueError, match="the Laplacian needs at least 3x3"):
        laplacian_energy(np.zeros((1, 2, 20, 3)))
