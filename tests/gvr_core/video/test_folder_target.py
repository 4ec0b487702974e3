"""Frames as PNG files, and folders that are not ours to fill."""

import cv2
import numpy as np
import pytest

from gvr_core.video import VideoWriter, check_writable


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _write(path, frames):
    with VideoWriter(path, width=64, height=48, fps=24) as writer:
        writer.write(frames)


def test_files_are_numbered_from_one_and_lossless(tmp_path, clip):
    _write(tmp_path / "out", clip)
    names = _names(tmp_path / "out")
    assert names == [f"frame_{n:05d}.png" for n in range(1, 10)]
    for name, frame in zip(names, clip, strict=True):
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / name))[..., ::-1], frame)


def test_empty_folder_and_hidden_files_are_fine(tmp_path, clip):
    (tmp_path / "out.d").mkdir()
    (tmp_path / "out.d" / ".DS_Store").touch()
    _write(tmp_path / "out.d", clip[:2])
    assert _names(tmp_path / "out.d") == [".DS_Store", "frame_00001.png", "frame_00002.png"]
    assert _names(tmp_path) == ["out.d"]


def test_frames_of_a_longer_clip_go(tmp_path, clip):
    _write(tmp_path / "out", clip)
    _write(tmp_path / "out", clip[4:6])
    assert _names(tmp_path / "out") == ["frame_00001.png", "frame_00002.png"]
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / "frame_00001.png"))[..., ::-1], clip[4])


def test_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "holiday.jpg").touch()
    with pytest.raises(ValueError, match=r"out holds other things than frames, such as holiday\.jpg"):
        check_writable(tmp_path / "out")


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(ValueError, match="a file of that name exists"):
        check_writable(tmp_path / "out")
