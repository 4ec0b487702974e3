"""The sample clip: the same every time, any part by itself, moving smoothly, and with detail to lose."""

import itertools

import cv2
import numpy as np
import pytest

from gvr_core.metrics import laplacian_energy, psnr, temporal_flicker
from gvr_core.sample_clip import render_sample_clip


def _render(**settings):
    return np.stack(list(render_sample_clip(**{"frames": 4, "height": 96, "width": 128, **settings})))


@pytest.fixture(scope="module")
def clip():
    return _render()


def test_frames_have_the_asked_size(clip):
    assert clip.shape == (4, 96, 128, 3)
    assert clip.dtype == np.uint8


def test_same_seed_same_clip_other_seed_another(clip):
    np.testing.assert_array_equal(_render(), clip)
    assert psnr(_render(seed=1), clip) < 25


def test_any_part_can_be_rendered_by_itself(clip):
    np.testing.assert_array_equal(_render(frames=2, start=2), clip[2:])


def test_every_frame_differs_a_little(clip):
    for before, after in itertools.pairwise(clip):
        assert 14 < psnr(before[None], after[None]) < 40


@pytest.mark.parametrize("size", [(16, 16), (17, 120), (181, 32), (48, 64)])
def test_every_size_has_a_picture_without_holes(size):
    """Black would be a place no layer covers."""
    for start in (0, 137, 5000):
        frame = _render(frames=1, height=size[0], width=size[1], start=start)
        assert frame.shape == (1, *size, 3)
        assert (frame.max(-1) == 0).mean() < 0.005


def test_halving_the_size_loses_detail_that_is_really_there():
    clip = _render(frames=1, height=256, width=256)
    small = cv2.resize(clip[0], (128, 128), interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (256, 256), interpolation=cv2.INTER_CUBIC)[None]
    assert laplacian_energy(back) < 0.5 * laplacian_energy(clip)
    assert 18 < psnr(back, clip) < 32


def test_detail_is_filtered_not_picked():
    """Rendering small has to keep less of the finest detail than dropping every other pixel of a large one does."""
    small, large = _render(frames=3, height=128, width=128), _render(frames=3, height=256, width=256)
    assert laplacian_energy(small) < 0.8 * laplacian_energy(large[:, ::2, ::2])
    assert temporal_flicker(small) < 0.8 * temporal_flicker(large[:, ::2, ::2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 0}, "cannot render 0 frames from frame 0"),
        ({"start": -1}, "from frame -1"),
        ({"height": 15}, "cannot render 128x15 pixels: both sides must be 16 to 4096"),
        ({"width": 4097}, "cannot render 4097x96 pixels"),
    ],
)
def test_wrong_settings_are_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        render_sample_clip(**{"height": 96, "width": 128, **settings})
