import pytest

from train.pairs.clip_search import find_clips
from train.pairs.source_clips import Clip, ClipError


def test_clips_are_files_and_folders_of_pictures_but_not_masks(root):
    clips = find_clips(root)
    assert {clip.name for clip in clips} == {
        "a.mp4",
        "more/b.mkv",
        "still.mp4",
        "pictures",
        "dark.mp4",
        "flat.mp4",
        "short.mp4",
        "broken.mp4",
    }
    assert [clip.key for clip in clips] == sorted(clip.key for clip in clips)


def test_keys_are_short_safe_and_unique():
    names = ["a.mp4", "b/a.mp4", "a.webm", "Ünïcode ☃ name.mp4", "x" * 300 + ".mp4", "dots.in.name.mp4", ".mp4"]
    keys = [Clip(name, None).key for name in names]
    assert len(set(keys)) == len(keys)
    assert all(len(key) <= 49 and key.isascii() and "." not in key and "/" not in key for key in keys)


def test_a_folder_without_clips_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no clips in"):
        find_clips(tmp_path)
    with pytest.raises(ValueError, match="set root=FOLDER"):
        find_clips(tmp_path / "missing")


def test_masks_may_be_a_video_and_must_reach_the_frame(tmp_path, root):
    (tmp_path / "c.mp4").write_bytes((root / "a.mp4").read_bytes())
    (tmp_path / "c.masks.mp4").write_bytes((root / "short.mp4").read_bytes())
    (clip,) = find_clips(tmp_path)
    assert clip.mask_at(2).shape == (64, 96)
    with pytest.raises(ClipError, match="no mask for frame 3"):
        clip.mask_at(3)


def test_a_clip_that_went_away_is_not_a_damaged_clip(tmp_path):
    with pytest.raises(ValueError, match="still mounted") as error:
        list(Clip("gone.mp4", tmp_path / "gone.mp4").frames())
    assert not isinstance(error.value, ClipError)
