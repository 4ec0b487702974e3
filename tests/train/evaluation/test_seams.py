"""Seams that were drawn are found, at their period and place alone."""

import numpy as np
import pytest

from train.evaluation.metric import Missing
from train.evaluation.seams import jump, seam, step_profiles


@pytest.fixture(scope="module")
def texture():
    """Moving noise, float64 `4 192 256 3` in [0.2, 0.8]."""
    return np.random.default_rng(0).uniform(0.2, 0.8, (4, 192, 256, 3))


def raised(clip, width, height, amount=0.1):
    """The clip with every other cell brighter, like a chessboard: a step at every line of the grid."""
    rows, columns = np.arange(clip.shape[1]) // height, np.arange(clip.shape[2]) // width
    return clip + amount * ((rows[:, None] + columns) % 2)[None, :, :, None]


def test_profiles_are_mean_absolute_steps():
    clip = np.zeros((2, 3, 4, 3))
    clip[1, :, 2:] = 0.5
    columns, rows = step_profiles(clip)
    assert columns == pytest.approx([0, 0.25, 0], abs=1e-6)
    assert rows == pytest.approx([0, 0], abs=1e-6)


def test_texture_has_no_seams(texture):
    for period in (8, 12, 16, 64):
        assert seam(texture, period, period) == pytest.approx(1, abs=0.05)


def test_a_grid_of_8_is_found_at_8_and_not_at_12(texture):
    clip = raised(texture, 8, 8, 0.5) * 0.6
    assert seam(clip, 8, 8) > 1.5
    assert seam(clip, 12, 12) == pytest.approx(1, abs=0.05)
    assert seam(clip, 10, 10) == pytest.approx(1, abs=0.05)


def test_a_grid_shows_in_its_multiples_unless_it_is_the_comparison(texture):
    clip = raised(texture, 8, 8, 0.5) * 0.6
    assert seam(clip, 16, 16) > 1.5
    assert seam(clip, 64, 64, base=8) == pytest.approx(1, abs=0.1)
    assert seam(raised(clip, 64, 64, 0.6) / 1.6, 64, 64, base=8) > 1.2


def test_a_coarse_grid_does_not_show_in_a_finer_one(texture):
    clip = raised(texture, 16, 16, 0.5) * 0.6
    assert seam(clip, 16, 16) > 1.5
    assert seam(clip, 8, 8) == pytest.approx(1, abs=0.05)


def test_drawn_lines_are_found_in_uint8(texture):
    clip = (texture * 255).astype(np.uint8)
    clip[:, ::8] = 0
    clip[:, :, ::8] = 0
    assert seam(clip, 8, 8) > 1.5
    assert seam(clip, 12, 12) == pytest.approx(1, abs=0.1)


def test_a_window_may_be_wider_than_high(texture):
    clip = raised(texture, 48, 32, 0.5) * 0.6
    assert seam(clip, 48, 32) > 1.3
    assert seam(clip, 32, 48) < 1.1


def test_the_step_ratio_is_what_was_put_in():
    ramp = np.arange(128) % 2 * 0.0 + np.cumsum(np.full(128, 0.001))
    steps = np.full(128, 0.001)
    steps[::8] = 0.005  # across the line between 8 k - 1 and 8 k
    ramp = np.cumsum(steps)
    clip = np.repeat(np.repeat(ramp[None, None, :, None], 64, axis=1), 3, axis=3)
    floor = 1 / 2550
    across = (0.005 + floor) / (0.001 + floor)
    # Rows are flat, which is 1; both directions count the same.
    assert seam(clip, 8, 8) == pytest.approx((across + 1) / 2, rel=1e-3)


def test_flat_is_no_seam_and_too_small_is_missing():
    assert seam(np.full((1, 64, 64, 3), 0.5), 8, 8) == pytest.approx(1)
    assert isinstance(seam(np.full((1, 64, 64, 3), 0.5), 128, 128), Missing)


def test_a_jump_at_borders_is_found_there_alone():
    brightness = np.cumsum([0.01] * 21)
    brightness[5:] += 0.02
    brightness[9:] += 0.02
    brightness[13:] += 0.02
    brightness[17:] += 0.02
    clip = np.ones((21, 8, 8, 3)) * brightness[:, None, None, None]
    floor = 1 / 2550
    assert jump(clip, every=4, first=1) == pytest.approx((0.03 + floor) / (0.01 + floor), rel=1e-3)
    assert jump(clip, every=20, first=17) == pytest.approx((0.03 + floor) / (0.01 + floor), rel=1e-3)
    assert jump(clip, every=4, first=2) < 1


def test_steady_and_accelerating_motion_has_no_jumps():
    frames = np.cumsum(np.linspace(0.001, 0.04, 21))
    clip = np.ones((21, 8, 8, 3)) * frames[:, None, None, None]
    assert jump(clip, every=4, first=1) == pytest.approx(1, abs=1e-3)


def test_a_clip_without_borders_is_missing():
    assert isinstance(jump(np.zeros((17, 8, 8, 3)), every=20, first=17), Missing)
