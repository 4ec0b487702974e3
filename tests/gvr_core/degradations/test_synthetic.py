"""Each part of the one-order degradation against its formula, and the whole for identity, repeatability and memory."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from gvr_core.degradations.config import SyntheticDegradation
from gvr_core.degradations.synthetic import degrade_synthetic, draw_synthetic, gaussian_kernel
from gvr_core.sample_clip.clip import render_sample_clip

OFF = SyntheticDegradation(blur_probability=0, noise_probability=0, compression="none")
BLURRED = replace(OFF, blur_probability=1, anisotropic_probability=0)
NOISY = replace(OFF, noise_probability=1, noise_sigma=(6, 6), poisson_probability=0, grey_probability=0)
KEY = {"seed": 3, "clip_id": "clip"}


def degraded(clip, config, **key):
    return np.stack(list(degrade_synthetic(clip, config, **{**KEY, **key})))


def random_clip(frames, height, width):
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def grey_clip(level, frames=4, height=128, width=160):
    return np.full((frames, height, width, 3), level, dtype=np.uint8)


def test_with_everything_off_the_clip_comes_back():
    clip = random_clip(3, 21, 34)
    assert np.array_equal(degraded(clip, OFF), clip)


@pytest.mark.parametrize("interpolation", ["area", "linear", "cubic"])
@pytest.mark.parametrize(("scale", "size"), [(2, (30, 41)), (4, (15, 20)), (2.1, (29, 39)), (16, (4, 5))])
def test_the_size_follows_the_scale(scale, size, interpolation):
    config = replace(OFF, scale=(scale, scale), interpolation=interpolation)
    clip = grey_clip(90, height=60, width=82)
    small = degraded(clip, config)
    assert small.shape[1:3] == size
    assert (small == 90).all()
    assert np.array_equal(degraded(clip, replace(config, restore_size=True)), clip)


def test_area_is_the_mean_of_blocks():
    clip = random_clip(2, 24, 36)
    blocks = clip.reshape(2, 8, 3, 12, 3, 3).mean(axis=(2, 4))
    small = degraded(clip, replace(OFF, scale=(3, 3), interpolation="area"))
    assert np.abs(small - blocks).max() <= 0.51


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_what_is_too_fine_for_the_small_frame_becomes_grey_not_moire(interpolation):
    stripes = np.zeros((1, 64, 96, 3), dtype=np.uint8)
    stripes[:, :, ::2] = 200
    small = degraded(stripes, replace(OFF, scale=(3, 3), interpolation=interpolation))
    assert small[:, :, 2:-2].std() < 0.15 * stripes.std()


def test_blur_is_a_gaussian_in_pixels_of_the_small_frame():
    clip = random_clip(1, 48, 64)
    blurred = degraded(clip, replace(BLURRED, blur_sigma=(1.2, 1.2)))
    expected = gaussian_filter(clip[0].astype(float), (1.2, 1.2, 0), mode="mirror", truncate=4 / 1.2)
    assert np.abs(blurred[0] - expected).max() <= 0.6
    # Twice as wide where the frame is halved afterwards.
    small = degraded(clip, replace(BLURRED, blur_sigma=(1.2, 1.2), scale=(2, 2), interpolation="area"))
    wide = gaussian_filter(clip[0].astype(float), (2.4, 2.4, 0), mode="mirror", truncate=8 / 2.4)
    assert np.abs(small[0] - wide.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))).max() <= 0.6


@pytest.mark.parametrize(("first", "second", "angle"), [(3, 1.5, 0.4), (1.5, 3, 0.4), (4, 1, math.pi / 2), (2, 2, 1)])
def test_the_kernel_has_the_covariance_of_its_axes(first, second, angle):
    kernel = gaussian_kernel(first, second, angle).astype(float)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    radius = len(kernel) // 2
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    covariance = [[(kernel * a * b).sum() for a in (x, y)] for b in (x, y)]
    axes = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    expected = axes @ np.diag([first**2, second**2]) @ axes.T
    # Three deviations hold 97 % of the variance along an axis.
    assert np.array(covariance) == pytest.approx(expected, abs=0.05 * max(first, second) ** 2)


def test_anisotropic_blur_spreads_a_point_along_its_axis():
    config = replace(BLURRED, anisotropic_probability=1, blur_sigma=(1, 6))
    drawn = {str(n): draw_synthetic(config, seed=0, clip_id=str(n)) for n in range(50)}
    name, draw = max(drawn.items(), key=lambda item: item[1].blur[0] / item[1].blur[1])
    point = np.zeros((1, 65, 65, 3), dtype=np.uint8)
    point[:, 29:36, 29:36] = 255
    spread = degraded(point, config, seed=0, clip_id=name)[0, ..., 0].astype(float)
    y, x = np.mgrid[-32:33, -32:33]
    _, vectors = np.linalg.eigh(np.cov(np.stack([x.ravel(), y.ravel()]), aweights=spread.ravel()))
    assert abs(vectors[:, 1] @ [math.cos(draw.angle), math.sin(draw.angle)]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("grey", [0, 1])
def test_gaussian_noise_has_its_deviation_at_any_brightness(grey):
    for level in (60, 190):
        noise = degraded(grey_clip(level), replace(NOISY, grey_probability=grey)).astype(float) - level
        assert noise.mean() == pytest.approx(0, abs=0.1)
        # Rounding to whole steps adds 1/12 to the variance.
        assert noise.std() == pytest.approx(math.sqrt(6**2 + 1 / 12), rel=0.02)
        between = np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]
        assert between == pytest.approx(grey, abs=0.02)


@pytest.mark.parametrize("grey", [0, 1])
def test_poisson_noise_grows_with_the_root_of_the_brightness(grey):
    config = replace(NOISY, poisson_probability=1, grey_probability=grey)
    for level in (40, 100, 200):
        noise = degraded(grey_clip(level), config).astype(float) - level
        assert noise.mean() == pytest.approx(0, abs=0.1)
        assert noise.std() == pytest.approx(math.sqrt(36 * level / 255 + 1 / 12), rel=0.02)
        between = np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]
        assert between == pytest.approx(grey, abs=0.02)
    assert (degraded(grey_clip(0), config) == 0).all()


def test_noise_is_new_in_every_frame_and_follows_the_frame_in_the_clip():
    whole = degraded(grey_clip(99, frames=5), NOISY)
    assert np.array_equal(whole[2:], degraded(grey_clip(99, frames=3), NOISY, first_frame=2))
    differences = whole[:-1].astype(float) - whole[1:]
    assert differences.std() == pytest.approx(6 * math.sqrt(2), rel=0.03)


def test_all_else_is_constant_in_time():
    still = np.repeat(random_clip(1, 48, 64), 5, axis=0)
    config = SyntheticDegradation(noise_probability=0, blur_probability=1, scale=(1.5, 3), compression="jpeg")
    for name in map(str, range(5)):
        result = degraded(still, config, clip_id=name)
        assert (result == result[:1]).all()


@pytest.mark.parametrize("compression", ["jpeg", "h264"])
def test_the_same_seed_and_clip_give_the_same_bytes(compression):
    clip = list(render_sample_clip(frames=9, height=96, width=128))
    config = SyntheticDegradation(scale=(1, 3), noise_probability=1, compression=compression)
    first = degraded(clip, config)
    assert np.array_equal(first, degraded(iter(clip), config))
    assert not np.array_equal(first, degraded(clip, config, seed=4)[:, : first.shape[1], : first.shape[2]])
    assert not np.array_equal(first, degraded(clip, config, clip_id="other")[:, : first.shape[1], : first.shape[2]])


def test_frames_pass_through_a_window():
    read = 0

    def frames():
        nonlocal read
        for _ in range(90):
            read += 1
            yield grey_clip(80, frames=1, height=32, width=32)[0]

    config = SyntheticDegradation(compression="h264", noise_probability=1)
    ahead = [read - done for done, _ in enumerate(degrade_synthetic(frames(), config, **KEY))]
    assert len(ahead) == 90
    assert max(ahead) <= 30


def draws(config, clips=3000):
    return [draw_synthetic(config, seed=1, clip_id=f"clip {n}") for n in range(clips)]


def assert_share(happened, probability):
    """Within five standard deviations of a binomial."""
    bound = 5 * math.sqrt(probability * (1 - probability) / len(happened))
    assert np.mean(happened) == pytest.approx(probability, abs=bound)


def test_drawn_parameters_have_their_probabilities():
    config = SyntheticDegradation()
    drawn = draws(config)
    assert_share([d.blur is not None for d in drawn], config.blur_probability)
    blurred = [d.blur for d in drawn if d.blur is not None]
    assert_share([a != b for a, b in blurred], config.anisotropic_probability)
    assert_share([d.noise is not None for d in drawn], config.noise_probability)
    assert_share([d.noise == "poisson" for d in drawn if d.noise], config.poisson_probability)
    assert_share([d.grey for d in drawn], config.grey_probability)
    assert_share([d.compression == "jpeg" for d in drawn], 0.5)
    assert {d.compression for d in drawn} == {"jpeg", "h264"}
    for name in ("area", "linear", "cubic"):
        assert_share([d.interpolation == name for d in drawn], 1 / 3)


def test_drawn_parameters_fill_their_ranges():
    config = SyntheticDegradation(scale=(1.5, 4))
    drawn = draws(config)
    for values, (low, high) in (
        ([d.scale for d in drawn], config.scale),
        ([d.noise_sigma for d in drawn], config.noise_sigma),
        ([s for d in drawn if d.blur for s in d.blur], config.blur_sigma),
        ([d.angle for d in drawn], (0, math.pi)),
    ):
        margin = 0.01 * (high - low)
        assert low <= min(values) < low + margin
        assert high - margin < max(values) <= high
    assert {d.level for d in drawn if d.compression == "jpeg"} == set(range(60, 96))
    assert {d.level for d in drawn if d.compression == "h264"} == set(range(18, 31))


def test_a_changed_setting_leaves_the_other_parameters():
    before = draws(SyntheticDegradation(), 50)
    for changes in ({"blur_probability": 0}, {"noise_probability": 1, "poisson_probability": 1}, {"scale": (2, 4)}):
        after = draws(SyntheticDegradation(**changes), 50)
        for a, b in zip(before, after, strict=True):
            assert (a.angle, a.noise_sigma, a.grey, a.compression, a.level, a.interpolation) == (
                b.angle,
                b.noise_sigma,
                b.grey,
                b.compression,
                b.level,
                b.interpolation,
            )


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="seed is -1"):
        degrade_synthetic([], OFF, seed=-1, clip_id="")
    with pytest.raises(ValueError, match="frame is -1"):
        degrade_synthetic([], OFF, **KEY, first_frame=-1)
    with pytest.raises(ValueError, match=r"frame 0 is float64 of shape \(8, 8, 3\), expected uint8"):
        degraded([np.zeros((8, 8, 3))], OFF)
    with pytest.raises(ValueError, match=r"frame 0 is uint8 of shape \(8, 8, 4\)"):
        degraded(np.zeros((1, 8, 8, 4), dtype=np.uint8), OFF)
    with pytest.raises(ValueError, match="frame 1 has 9x8 pixels, the clip began with 8x8"):
        degraded([np.zeros((8, 8, 3), dtype=np.uint8), np.zeros((8, 9, 3), dtype=np.uint8)], OFF)
