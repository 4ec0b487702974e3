"""The writer's contract: what it accepts, what it refuses, and that a target is there whole or not at all."""

import os
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from gvr_core.video import VIDEO_SUFFIXES, VideoReader, VideoWriter, check_writable, probe

TARGETS = ["a.mp4", "a.mkv", "a.mov", "a.webm", "frames"]


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _writer(path, **changes):
    return VideoWriter(path, **{"width": 64, "height": 48, "fps": 24, **changes})


def _write_and_raise(path, frames, error):
    with _writer(path) as writer:
        writer.write(frames)
        raise error


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_written_is_read_again(tmp_path, clip, name):
    with _writer(tmp_path / name) as writer:
        writer.write(clip[:2])
        writer.write(clip[2:])
    assert _names(tmp_path) == [name]
    assert probe(tmp_path / name).fps == 24
    frames = np.stack(list(VideoReader(tmp_path / name)))
    error = np.abs(frames.astype(int) - clip)
    assert frames.shape == clip.shape
    assert error.mean() < 2.5
    assert error.max() == 0 or name != "frames"


@pytest.mark.parametrize("size", [(33, 47), (48, 47), (33, 64), (1, 1), (2, 2)])
@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_odd_sides_are_kept(tmp_path, clip, size, suffix):
    height, width = size
    path = tmp_path / f"a{suffix}"
    with _writer(path, height=height, width=width) as writer:
        writer.write(clip[:1, :height, :width])
    assert next(iter(VideoReader(path))).shape == (height, width, 3)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_exception(tmp_path, clip, name, error):
    with pytest.raises(error):
        _write_and_raise(tmp_path / name, clip, error)
    assert _names(tmp_path) == []


@pytest.mark.parametrize("name", TARGETS)
def test_an_earlier_result_survives_an_exception_and_is_replaced_by_success(tmp_path, clip, name):
    path = tmp_path / name
    with _writer(path) as writer:
        writer.write(clip)
    with pytest.raises(KeyboardInterrupt):
        _write_and_raise(path, clip[:3], KeyboardInterrupt)
    assert _names(tmp_path) == [name]
    assert len(list(VideoReader(path))) == 9
    with _writer(path) as writer:
        writer.write(clip[:3])
    assert _names(tmp_path) == [name]
    assert len(list(VideoReader(path))) == 3


@pytest.mark.parametrize("name", TARGETS)
def test_no_frames_is_an_error_and_leaves_nothing(tmp_path, name):
    with pytest.raises(ValueError, match=f"no frames came to be written to {name}"), _writer(tmp_path / name):
        pass
    assert _names(tmp_path) == []


@pytest.mark.parametrize("name", TARGETS)
def test_failing_end_leaves_nothing(tmp_path, clip, name, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(ValueError, match=r"cannot write .*: No space left"), _writer(tmp_path / name) as writer:
        writer.write(clip)
    assert _names(tmp_path) == []


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((1, 48, 65, 3), np.uint8), r"uint8 of shape \(1, 48, 65, 3\), expected uint8 `t h w c` with h=48"),
        (np.zeros((48, 64, 3), np.uint8), r"shape \(48, 64, 3\)"),
        (np.zeros((1, 48, 64, 3), np.float32), "frames are float32"),
    ],
)
def test_other_frames_are_refused(tmp_path, frames, message):
    with pytest.raises(ValueError, match=message), _writer(tmp_path / "a.mp4") as writer:
        writer.write(frames)
    assert _names(tmp_path) == []


def test_writing_needs_the_block(tmp_path, clip):
    writer = _writer(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="use it in a `with` block"):
        writer.write(clip)
    assert _names(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "frames of 0x48 pixels"),
        ({"fps": 0}, "cannot write 0 frames per second"),
        ({"fps": 1001}, "cannot write 1001 frames per second"),
        ({"fps": float("nan")}, "cannot write nan frames per second"),
        ({"crf": 52}, "crf is 52, expected 0"),
        ({"audio_from": "missing.mp4"}, r"no such file to take the sound from: missing\.mp4"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        _writer(tmp_path / "a.mp4", **changes)


@pytest.mark.parametrize("fps", [24, 8, 23.976, 29.97, Fraction(30000, 1001), Fraction(1000003, 33367), 0.5])
def test_rate_is_kept(tmp_path, clip, fps):
    with _writer(tmp_path / "a.mp4", fps=fps) as writer:
        writer.write(clip[:4])
    info = probe(tmp_path / "a.mp4")
    assert float(info.fps) == pytest.approx(float(fps), rel=1e-4)
    assert info.duration == pytest.approx(4 / float(fps), rel=1e-2)


def test_source_is_not_overwritten(tmp_path, clip):
    path = tmp_path / "a.mp4"
    with _writer(path) as writer:
        writer.write(clip)
    with pytest.raises(ValueError, match="would replace its own source"):
        _writer(path, audio_from=path)


class TestCheckWritable:
    @pytest.mark.parametrize("name", TARGETS)
    def test_leaves_nothing_behind(self, tmp_path, name):
        check_writable(tmp_path / name)
        assert _names(tmp_path) == []

    def test_relative_path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        check_writable("a.mp4")
        check_writable("frames")

    def test_unknown_suffix_lists_the_known(self, tmp_path):
        with pytest.raises(ValueError, match=r"a\.wmv: give a name ending in \.mp4, \.mkv, \.mov, \.webm, or one with"):
            check_writable(tmp_path / "a.wmv")

    @pytest.mark.parametrize("name", ["a.mp4", "frames"])
    def test_missing_parent(self, tmp_path, name):
        with pytest.raises(ValueError, match=r"the folder .*nowhere does not exist, make it first"):
            check_writable(tmp_path / "nowhere" / name)

    def test_folder_in_place_of_the_file(self, tmp_path):
        (tmp_path / "a.mp4").mkdir()
        with pytest.raises(ValueError, match=r"a\.mp4: a folder of that name exists"):
            check_writable(tmp_path / "a.mp4")

    @pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the superuser may write everywhere")
    def test_read_only_parent(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(ValueError, match="cannot write into the folder"):
            check_writable(tmp_path / "a.mp4")

    def test_refusing_parent(self, tmp_path, monkeypatch):
        def refuse(**_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("tempfile.TemporaryFile", refuse)
        with pytest.raises(ValueError, match=r"cannot write into the folder .*: Permission denied"):
            check_writable(tmp_path / "a.mp4")

    def test_missing_encoder(self, tmp_path, monkeypatch):
        monkeypatch.setattr(av, "codecs_available", {"libx264"})
        check_writable(tmp_path / "a.mp4")
        with pytest.raises(ValueError, match=r"cannot write \.webm files: this PyAV has no libvpx-vp9 encoder"):
            check_writable(tmp_path / "a.webm")
