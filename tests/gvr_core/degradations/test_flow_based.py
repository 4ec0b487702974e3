"""Flow-based degradation on clips whose motion is known."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import structure_tensor

from gvr_core.degradations import flow_based
from gvr_core.degradations.config import REFERENCE_SIDE, FlowDegradation
from gvr_core.degradations.flow_based import degrade_flow
from gvr_core.sample_clip import render_sample_clip

DEFAULT = FlowDegradation()
PAINT = FlowDegradation(blur=0, ellipses=2000, strength=1.0)


def run(frames, config=DEFAULT, *, seed=0, clip_id="clip", **more):
    return list(degrade_flow(frames, config, seed=seed, clip_id=clip_id, **more))


def changed(before, after):
    return (before != after).any(-1)


@pytest.mark.parametrize("noise", [0, 2])
@pytest.mark.parametrize("size", [(256, 320), (97, 131)])
def test_a_clip_without_motion_comes_back_bit_for_bit(disc_clip, noise, size):
    still = cv2.resize(disc_clip((0, 0)).frames[0], size[::-1]).astype(int)
    random = np.random.default_rng(0)
    frames = [np.clip(still + random.integers(-noise, noise + 1, still.shape), 0, 255) for _ in range(4)]
    frames = [frame.astype(np.uint8) for frame in frames]
    for frame, result in zip(frames, run(frames), strict=True):
        np.testing.assert_array_equal(result.frame, frame)
        assert not result.mask.any()


def test_a_change_of_light_is_no_motion(disc_clip):
    still = disc_clip((0, 0)).frames[0]
    frames = [cv2.convertScaleAbs(still, alpha=factor) for factor in (0.8, 0.85, 0.9)]
    for frame, result in zip(frames, run(frames), strict=True):
        np.testing.assert_array_equal(result.frame, frame)


def test_the_first_frame_and_one_after_a_cut_are_left_alone(disc_clip):
    frames = [*disc_clip((8, 0)).frames, *render_sample_clip(frames=2, height=256, width=320)]
    results = run(frames)
    changes = [bool(changed(frame, result.frame).any()) for frame, result in zip(frames, results, strict=True)]
    assert changes[:4] == [False, True, True, False]
    assert not results[0].flow.any()


@pytest.mark.parametrize("velocity", [(6, 0), (-8, 8), (13, 5)])
@pytest.mark.parametrize("config", [DEFAULT, PAINT], ids=["default", "paint"])
def test_only_the_dilated_motion_region_changes(disc_clip, grown, velocity, config):
    clip = disc_clip(velocity)
    scale = clip.height / REFERENCE_SIDE
    for n, result in list(enumerate(run(clip.frames, config)))[1:]:
        where = changed(clip.frames[n], result.frame)
        # The flow's own patches, 8 pixels wide, may add their half to the dilation.
        region = grown(clip.moved(n), config.dilation * scale + 4)
        assert where[clip.disc(n)].mean() > 0.7
        assert not (where & ~region).any()
        assert not (where & ~result.mask).any()
        assert (result.mask & clip.disc(n)).sum() > 0.8 * clip.disc(n).sum()


def test_the_flow_points_from_the_frame_to_the_one_before(disc_clip):
    clip = disc_clip((7, -4))
    core = cv2.erode(clip.disc(1).astype(np.uint8), np.ones((41, 41))) > 0
    flow = run(clip.frames)[1].flow
    np.testing.assert_allclose(flow[core].mean(0), [-7, 4], atol=0.3)
    assert flow.shape == (256, 320, 2)


def blur_angle(before, after, region):
    """Direction in which most detail was lost, degrees modulo 180, by the structure tensors of both pictures."""
    tensors = []
    for picture in (before, after):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(float)
        xx, xy, yy = (part[region].mean() for part in structure_tensor(grey, sigma=2, order="xy"))
        tensors.append(np.array([[xx, xy], [xy, yy]]))
    # Relative to what was there: a piece of texture prefers a direction by itself.
    values, vectors = np.linalg.eig(np.linalg.solve(*tensors))
    x, y = vectors[:, np.argmin(values)]
    return np.degrees(np.arctan2(y, x)) % 180


@pytest.mark.parametrize("angle", [0, 25, 45, 70, 90, 110, 160])
def test_the_blur_lies_along_the_motion(disc_clip, angle):
    velocity = 9 * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    clip = disc_clip(velocity)
    result = run(clip.frames, FlowDegradation(ellipses=0))[1]
    core = cv2.erode(clip.disc(1).astype(np.uint8), np.ones((31, 31))) > 0
    difference = (blur_angle(clip.frames[1], result.frame, core) - angle + 90) % 180 - 90
    assert abs(difference) < 10


def test_the_blur_grows_with_speed(disc_clip):
    lost = []
    for speed in (2, 4, 6, 9, 13):
        clip = disc_clip((speed, 0))
        result = run(clip.frames, FlowDegradation(ellipses=0))[1]
        core = cv2.erode(clip.disc(1).astype(np.uint8), np.ones((41, 41))) > 0
        energies = [
            np.abs(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_64F))[core].mean()
            for picture in (clip.frames[1], result.frame)
        ]
        lost.append(energies[0] / energies[1])
    ranks = np.argsort(np.argsort(lost))
    assert np.corrcoef(ranks, np.arange(5))[0, 1] > 0.9
    assert lost[-1] > 2


def test_blended_colours_come_from_the_frame_before(disc_clip):
    # The disc is red, then green of the same brightness pattern, so the flow is undisturbed.
    clip = disc_clip((6, 0), frames=2, tints=[(220, 40, 60), (40, 150, 60)])
    clip.background[...] = cv2.cvtColor(cv2.cvtColor(clip.background, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    result = run(clip.frames, PAINT)[1]
    core = cv2.erode(clip.disc(1).astype(np.uint8), np.ones((21, 21))) > 0
    before, after = (picture[core].astype(float).mean(0) for picture in (clip.frames[1], result.frame))
    assert before[0] < before[1]
    assert after[0] > after[1] + 10
    # Weighted means of the two frames lie between them.
    previous = clip.frames[0][clip.disc(0)].astype(float).mean(0)
    share = (after - before) / (previous - before)
    assert np.ptp(share[:2]) < 0.15
    assert 0.3 < share[0] < 1


def test_ellipses_are_taken_where_the_flow_points(disc_clip):
    # Two halves of the disc in two colours: at the flow's place the colour of a half is its own, not its neighbour's.
    clip = disc_clip((12, 0), frames=2)
    for n, frame in enumerate(clip.frames):
        x = clip.centre[0] + 12 * (n - 1)
        left = clip.disc(n) & (np.arange(clip.width) < x)
        for half, tint in ((left, (1.0, 0.2, 0.2)), (clip.disc(n) & ~left, (0.2, 0.2, 1.0))):
            grey = frame[half].mean(1, keepdims=True)
            frame[half] = (grey * np.array(tint)).astype(np.uint8)
    config = FlowDegradation(blur=0, ellipses=4000, strength=1.0, ellipse_size=(2, 3), ellipse_shape=(1, 1))
    result = run(clip.frames, config)[1].frame.astype(int)
    columns = np.arange(clip.width)
    inner = cv2.erode(clip.disc(1).astype(np.uint8), np.ones((21, 21))) > 0
    # Within 12 pixels right of the border, the unmoved place in the frame before is background or the other half.
    stripe = inner & (columns > clip.centre[0] - 9) & (columns < clip.centre[0] - 4)
    assert (result[stripe][:, 0] > result[stripe][:, 2] + 10).mean() > 0.95


@settings(max_examples=8)
@given(cut=st.lists(st.integers(1, 5), max_size=3, unique=True), threads=st.sampled_from([1, 2, 3]))
def test_any_split_and_any_number_of_threads_give_the_same_bytes(cut, threads):
    frames = list(render_sample_clip(frames=6, height=128, width=160, start=30))
    whole = [result.frame for result in run(frames, seed=3)]
    pieces = []
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        for first, last in zip([0, *sorted(cut)], [*sorted(cut), 6], strict=True):
            previous = frames[first - 1] if first else None
            pieces += run(frames[first:last], seed=3, first_frame=first, previous=previous)
    finally:
        cv2.setNumThreads(before)
    assert [piece.frame.tobytes() for piece in pieces] == [frame.tobytes() for frame in whole]


def test_other_seeds_clips_and_frames_differ(disc_clip):
    frames = disc_clip((8, 0)).frames[:2]
    results = {
        run(frames)[1].frame.tobytes(),
        run(frames, seed=1)[1].frame.tobytes(),
        run(frames, clip_id="other")[1].frame.tobytes(),
        run(frames, first_frame=1)[1].frame.tobytes(),
    }
    assert len(results) == 4


def test_frames_that_come_in_stay_as_they_were(disc_clip):
    frames = disc_clip((8, 0)).frames
    copies = [frame.copy() for frame in frames]
    for result in degrade_flow(frames, DEFAULT, seed=0, clip_id=""):
        result.frame[...] = 0
    np.testing.assert_array_equal(frames, copies)


def test_one_frame_is_taken_for_each_that_is_given(disc_clip):
    taken = []
    stream = degrade_flow(
        (taken.append(n) or frame for n, frame in enumerate(disc_clip((8, 0)).frames)), DEFAULT, seed=0, clip_id=""
    )
    for n, _ in enumerate(stream):
        assert taken == list(range(n + 1))


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 400), (300, 20), (64, 64)])
def test_unusual_sizes(size):
    random = np.random.default_rng(0)
    frames = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(3)]
    results = [run(frames, FlowDegradation(least_area=0)) for _ in range(2)]
    for one, two in zip(*results, strict=True):
        assert one.frame.shape == (*size, 3)
        assert np.isfinite(one.flow).all()
        np.testing.assert_array_equal(one.frame, two.frame)


def test_lengths_grow_with_the_frame(disc_clip):
    clip = disc_clip((10, 0))
    twice = [cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for frame in clip.frames]
    config = FlowDegradation(ellipses=0)
    small, large = run(clip.frames, config)[1], run(twice, config)[1]
    shrunk = cv2.resize(large.frame, (320, 256), interpolation=cv2.INTER_AREA).astype(float)
    core = clip.disc(1)
    error = np.abs(shrunk - small.frame)[core].mean()
    assert error < 0.35 * np.abs(clip.frames[1].astype(float) - small.frame)[core].mean()


def test_mistakes_are_told():
    frame = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="seed is -1, expected"):
        degrade_flow([], DEFAULT, seed=-1, clip_id="")
    with pytest.raises(ValueError, match="frame is -2, expected"):
        degrade_flow([], DEFAULT, seed=0, clip_id="", first_frame=-2)
    with pytest.raises(ValueError, match="float64 of shape"):
        run([frame / 255])
    with pytest.raises(ValueError, match="16x32 after one of 32x32"):
        run([frame, frame[:, :16]])
    with pytest.raises(ValueError, match="32x32 after one of 16x32"):
        run([frame], previous=frame[:, :16])
    assert run([]) == []


def test_parts_of_the_frame_are_worked_on_as_the_whole_would_be(disc_clip, monkeypatch):
    config = FlowDegradation(blur=4, longest_blur=64, full_motion=0.5, dilation=1, block=64)
    frames = disc_clip((13, 5)).frames[:2]
    result = run(frames, config)[1].frame
    monkeypatch.setattr(flow_based, "_parts", lambda reach, estimator: [(0, 256, 0, 320)])
    # OpenCV rounds the places that it interpolates at, so a pixel may fall to the other side.
    whole = run(frames, config)[1].frame
    np.testing.assert_allclose(whole.astype(int), result, atol=1)
    assert (whole != result).mean() < 1e-3


PEAK = """
import resource, sys
import numpy as np
from gvr_core.degradations.config import FlowDegradation
from gvr_core.degradations.flow_based import degrade_flow
big = np.random.default_rng(0).integers(0, 256, (480, 1100, 3), dtype=np.uint8)
frames = (np.ascontiguousarray(big[:, (n * 6) % 240 :][:, :854]) for n in range(int(sys.argv[1])))
count = sum(1 for _ in degrade_flow(frames, FlowDegradation(), seed=0, clip_id=""))
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no peak memory by the resource module")
def test_memory_is_bounded_by_a_window_of_frames():
    root = Path(__file__).resolve().parents[3]
    peaks = []
    for frames in (77, 300):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(frames)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        )
        count, peak = map(int, done.stdout.split())
        assert count == frames
        peaks.append(peak)
    assert peaks[1] < 1.1 * peaks[0]
