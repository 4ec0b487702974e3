"""The reader's contract, over every kind of source."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gvr_core.video import VideoReader, probe


def test_lossless_video_comes_back_exactly(tmp_path, clip, make_video):
    with VideoReader(make_video(tmp_path / "a.mkv", clip)) as reader:
        frames = list(reader)
    assert all(f.dtype == np.uint8 and f.flags.c_contiguous for f in frames)
    np.testing.assert_array_equal(np.stack(frames), clip)


def test_every_iteration_starts_at_the_first_frame(tmp_path, clip, make_video):
    with VideoReader(str(make_video(tmp_path / "a.mkv", clip))) as reader:
        np.testing.assert_array_equal(next(iter(reader)), clip[0])
        np.testing.assert_array_equal(np.stack(list(reader)), clip)


def test_leaving_the_block_ends_the_reading(tmp_path, clip, make_video):
    with VideoReader(make_video(tmp_path / "a.mkv", clip)) as reader:
        frames = iter(reader)
        next(frames)
    assert list(frames) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(size=st.integers(1, 12))
def test_chunks_are_the_clip_cut_into_pieces(tmp_path, clip, size):
    if not (tmp_path / "000.png").exists():
        for number, frame in enumerate(clip):
            cv2.imwrite(str(tmp_path / f"{number:03d}.png"), frame[..., ::-1])
    with VideoReader(tmp_path) as reader:
        chunks = list(reader.read_chunks(size))
    assert [len(chunk) for chunk in chunks[:-1]] == [size] * (len(chunks) - 1)
    np.testing.assert_array_equal(np.concatenate(chunks), clip)


def test_chunks_of_no_frames_are_refused_at_once(tmp_path, clip, make_video):
    with pytest.raises(ValueError, match="chunks of 0 frames"):
        VideoReader(make_video(tmp_path / "a.mkv", clip)).read_chunks(0)


def test_probe_of_a_video(tmp_path, clip, make_video, tone):
    path = make_video(
        tmp_path / "a.mp4", clip, codec="libx264", pix_fmt="yuv420p", fps=Fraction(30000, 1001), sound=tone
    )
    info = probe(path)
    assert (info.width, info.height, info.frames, info.has_audio) == (64, 48, 9, True)
    assert info.fps == Fraction(30000, 1001)
    assert info.duration == pytest.approx(9 * 1001 / 30000, abs=1e-3)


def test_single_frame_video(tmp_path, clip, make_video):
    path = make_video(tmp_path / "a.mp4", clip[:1], codec="libx264", pix_fmt="yuv420p")
    assert probe(path).frames == 1
    assert len(list(VideoReader(path))) == 1


def test_missing_path_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no such file or folder: .*nothing\.mp4"):
        probe(tmp_path / "nothing.mp4")


def test_empty_file_is_named(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(ValueError, match=r"a\.mp4 is empty \(0 bytes\)"):
        VideoReader(tmp_path / "a.mp4")
