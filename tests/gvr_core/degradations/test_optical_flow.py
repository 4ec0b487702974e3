"""Flow and motion mask against known motion."""

import cv2
import numpy as np
import pytest

from gvr_core.degradations.config import FlowDegradation
from gvr_core.degradations.optical_flow import MotionEstimator


def motion(clip, config, n=1):
    estimator = MotionEstimator(clip.height, clip.width, config)
    lumas = [estimator.luma(frame) for frame in clip.frames[n - 1 : n + 1]]
    return estimator.motion(lumas[1], lumas[0])


@pytest.mark.parametrize(
    ("preset", "side"), [("ultrafast", 720), ("fast", 720), ("medium", 720), ("medium", 200), ("medium", 128)]
)
def test_the_flow_is_the_motion_in_pixels_of_the_frame(disc_clip, preset, side):
    clip = disc_clip((5, -7))
    found = motion(clip, FlowDegradation(preset=preset, flow_side=side))
    core = cv2.erode(clip.disc(1).astype(np.uint8), np.ones((31, 31))) > 0
    np.testing.assert_allclose(np.median(found.full_flow[core], axis=0), [-5, 7], atol=0.3)
    assert found.full_flow.dtype == np.float32


def test_the_reach_is_one_where_things_move_and_ends_after_the_dilation(disc_clip, grown):
    clip = disc_clip((8, 0))
    for dilation in (4, 16, 40):
        found = motion(clip, FlowDegradation(dilation=dilation))
        assert (found.reach[found.moving] > 0.999).all()
        assert found.reach.max() <= 1.001
        reached = found.reach > 0
        # In pixels of a frame of 512; this one has 256.
        assert not (reached & ~grown(found.moving, dilation / 2 + 1.5)).any()
        assert (reached | ~grown(found.moving, 0.3 * dilation / 2)).all()


def test_slow_and_small_things_do_not_count(disc_clip):
    clip = disc_clip((2, 0))  # four pixels in the scale of the configs
    assert motion(clip, FlowDegradation(threshold=3)).moving.any()
    assert not motion(clip, FlowDegradation(threshold=5)).moving.any()
    area = 4 * np.pi * clip.radius**2
    assert motion(clip, FlowDegradation(least_area=0.5 * area)).moving.any()
    assert not motion(clip, FlowDegradation(least_area=2 * area)).moving.any()


def test_flow_does_not_depend_on_earlier_calls(disc_clip):
    config = FlowDegradation()
    clips = [disc_clip((9, 0)), disc_clip((-4, 6))]
    fresh = [motion(clip, config).full_flow for clip in clips]
    estimator = MotionEstimator(256, 320, config)
    for clip, expected in zip(clips, fresh, strict=True):
        lumas = [estimator.luma(frame) for frame in clip.frames]
        np.testing.assert_array_equal(estimator.motion(lumas[1], lumas[0]).full_flow, expected)


def test_a_portrait_frame_moves_as_a_landscape_one(disc_clip):
    clip = disc_clip((8, 0))
    turned = [np.ascontiguousarray(frame.transpose(1, 0, 2)) for frame in clip.frames]
    estimator = MotionEstimator(320, 256, FlowDegradation())
    lumas = [estimator.luma(frame) for frame in turned]
    found = estimator.motion(lumas[1], lumas[0])
    core = cv2.erode(clip.disc(1).astype(np.uint8), np.ones((31, 31))).T > 0
    np.testing.assert_allclose(np.median(found.full_flow[core], axis=0), [0, -8], atol=0.3)
