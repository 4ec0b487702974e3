"""The blur along lines against convolution, and that blocks leave no seams."""

import cv2
import numpy as np
import pytest

from gvr_core.degradations.config import FlowDegradation
from gvr_core.degradations.flow_blur import block_motion, blur_lines, line_blur
from gvr_core.degradations.optical_flow import Motion


@pytest.fixture
def picture():
    noise = np.random.default_rng(0).standard_normal((80, 120, 3)).astype(np.float32)
    return 128 + 60 * cv2.GaussianBlur(noise, (0, 0), 1.5)


def even(value, shape=(80, 120)):
    return np.broadcast_to(np.array(value, np.float32), (*shape, 2)).copy()


@pytest.mark.parametrize("length", [3, 9, 27])
@pytest.mark.parametrize("axis", [0, 1])
def test_whole_lines_are_the_mean_of_their_pixels(picture, length, axis):
    kernel = np.full((1, length) if axis == 0 else (length, 1), 1 / length)
    expected = cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    blurred = line_blur(picture, even((length, 0) if axis == 0 else (0, length)))
    inner = np.s_[20:-20, 20:-20]
    # 9 and 3 pixels fit fewer taps as well: then it is the mean of points further apart.
    tolerance = {3: 1e-3, 9: 1e-3, 27: 1e-3}[length]
    np.testing.assert_allclose(blurred[inner], expected[inner], atol=tolerance * 60)


@pytest.mark.parametrize("angle", [30, 60, 135])
def test_turned_lines_are_the_mean_along_them(picture, angle):
    # Independent: many samples by spline interpolation.
    direction = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    rows, columns = np.mgrid[:80, :120].astype(np.float32)
    samples = [
        cv2.remap(
            picture,
            (columns + s * direction[0]).astype(np.float32),
            (rows + s * direction[1]).astype(np.float32),
            cv2.INTER_CUBIC,
        )
        for s in np.linspace(-5.9, 5.9, 60)
    ]
    blurred = line_blur(picture, even(12 * direction))
    inner = np.s_[20:-20, 20:-20]
    error = np.abs(blurred - np.mean(samples, 0))[inner].mean()
    assert error < 0.15 * np.abs(blurred - picture)[inner].mean()


def test_no_lines_and_opposite_lines(picture):
    np.testing.assert_allclose(line_blur(picture, even((0, 0))), picture, atol=1e-3)
    np.testing.assert_allclose(line_blur(picture, even((9, 5))), line_blur(picture, even((-9, -5))), atol=1e-2)


def test_even_pictures_stay_even():
    flat = np.full((40, 50, 3), 77, np.float32)
    lines = np.random.default_rng(0).uniform(-30, 30, (40, 50, 2)).astype(np.float32)
    np.testing.assert_allclose(line_blur(flat, lines), flat, atol=1e-3)


def two_halves(left, right, height=64, width=96):
    flow = np.zeros((height, width, 2), np.float32)
    flow[:, : width // 2], flow[:, width // 2 :] = left, right
    moving = np.hypot(flow[..., 0], flow[..., 1]) > 0
    return Motion(flow=flow, moving=moving, reach=moving.astype(np.float32), full_flow=flow)


def test_what_stands_still_does_not_slow_the_blocks_it_shares():
    motion = two_halves((0, 0), (6, 2))
    blocks = block_motion(motion, 16)
    np.testing.assert_allclose(blocks[motion.moving], np.broadcast_to((6, 2), blocks[motion.moving].shape), atol=1e-4)
    assert not blocks[:, : 48 - 32].any()


def test_kernels_change_smoothly_from_block_to_block():
    blocks = block_motion(two_halves((8, 0), (0, 8)), 16)
    steps = np.abs(np.diff(blocks, axis=1)).max()
    assert steps <= 8 / 16 + 1e-4


def test_length_and_weight_follow_the_motion():
    speeds = np.zeros((1, 5, 2), np.float32)
    speeds[0, :, 0] = [0, 2, 4, 20, 200]
    config = FlowDegradation(blur=0.5, longest_blur=24, full_motion=4)
    for scale in (1.0, 2.0):
        lines, weights = blur_lines(speeds * np.float32(scale), config, scale)
        np.testing.assert_allclose(lines[0, :, 0], scale * np.array([0, 1, 2, 10, 24]), rtol=1e-5)
        np.testing.assert_allclose(weights[0], [0, 0.5, 1, 1, 1], rtol=1e-5)
