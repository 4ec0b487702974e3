"""Compressed clips keep their length, order and size, lose what the level says, and are the same in every run."""

import io
import os

import av
import numpy as np
import pytest
from PIL import Image

from gvr_core.degradations.compression import through_h264, through_jpeg
from gvr_core.sample_clip.clip import render_sample_clip


def psnr(clip, other):
    error = np.mean((np.asarray(clip, float) - np.asarray(other, float)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))


@pytest.fixture(scope="module")
def clip():
    return list(render_sample_clip(frames=12, height=96, width=128))


def test_jpeg_is_that_of_another_library(clip):
    for frame, result in zip(clip[:2], through_jpeg(clip[:2], 80), strict=True):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=80)
        assert psnr(result, np.asarray(Image.open(file))) > 45


def test_lower_levels_lose_more(clip):
    by_quality = [psnr(clip, list(through_jpeg(clip, quality))) for quality in (20, 50, 80, 95)]
    by_crf = [psnr(clip, list(through_h264(clip, crf))) for crf in (45, 35, 25, 15)]
    assert by_quality == sorted(by_quality)
    assert by_crf == sorted(by_crf)
    assert by_crf[0] < 25
    # Colours at half the resolution are what remains at the best levels, and both have the same.
    assert by_crf[-1] == pytest.approx(psnr(clip, list(through_jpeg(clip, 98))), abs=2)


@pytest.mark.parametrize("frames", [0, 1, 2, 5, 47])
def test_h264_gives_every_frame_back_in_order(frames):
    brightness = 16 + 4 * np.arange(frames) % 200
    clip = [np.full((32, 48, 3), level, dtype=np.uint8) for level in brightness]
    result = list(through_h264(iter(clip), 12))
    assert len(result) == frames
    assert [frame.mean() for frame in result] == pytest.approx(brightness.tolist(), abs=2)


def test_h264_keeps_odd_sizes_and_colours():
    ramp = np.linspace(0, 255, 61).astype(np.uint8)
    clip = [
        np.stack([np.tile(ramp, (35, 1)), np.full((35, 61), 200 - 9 * n), np.full((35, 61), 40)], -1) for n in range(4)
    ]
    clip = [frame.astype(np.uint8) for frame in clip]
    result = list(through_h264(clip, 10))
    assert result[0].shape == (35, 61, 3)
    assert psnr(clip, result) > 36


@pytest.fixture(scope="module")
def wide_clip():
    """Large enough that x264 decides otherwise from run to run when it is left alone."""
    return list(render_sample_clip(frames=30, height=256, width=480))


def test_h264_is_the_same_in_every_run(wide_clip):
    """x264 by itself is not: some of its decisions depend on where a buffer lies."""
    results = []
    for step in (977, 1954, 2931):
        moved = [np.ones(n * step, dtype=np.uint8) for n in range(1, 40)]
        results.append(np.stack(list(through_h264(wide_clip, 26))))
        del moved
    assert all(np.array_equal(results[0], other) for other in results[1:])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot take processors away")
def test_h264_is_the_same_on_any_number_of_processors(wide_clip):
    on_all = list(through_h264(wide_clip, 26))
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        on_one = list(through_h264(wide_clip, 26))
    finally:
        os.sched_setaffinity(0, processors)
    assert np.array_equal(on_all, on_one)


def test_h264_holds_a_window_of_frames():
    read = 0

    def frames():
        nonlocal read
        for _ in range(120):
            read += 1
            yield np.zeros((32, 32, 3), dtype=np.uint8)

    ahead = [read - done for done, _ in enumerate(through_h264(frames(), 30))]
    assert len(ahead) == 120
    assert max(ahead) <= 30


def test_a_missing_encoder_is_told(monkeypatch):
    def create(name, mode):
        raise av.codec.codec.UnknownCodecError(name)

    monkeypatch.setattr("gvr_core.degradations.compression.av.CodecContext", type("Context", (), {"create": create}))
    with pytest.raises(ValueError, match="no libx264 encoder"):
        list(through_h264([np.zeros((16, 16, 3), dtype=np.uint8)], 20))
