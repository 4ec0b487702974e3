import hashlib
import os
import time

import pytest

from train.pairs import source_clips
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


def test_a_folder_without_clips_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no clips in"):
        find_clips(tmp_path)
    with pytest.raises(ValueError, match="set root=FOLDER"):
        find_clips(tmp_path / "missing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and links are a matter of POSIX")
def test_what_cannot_be_read_is_listed_with_its_problem(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nothing.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    clips = {clip.name: clip for clip in find_clips(tmp_path)}
    assert clips["a.mp4"].problem == ""
    assert clips["dangling.mp4"].problem == "dangling.mp4 cannot be read: No such file or directory"
    assert clips["pipe.mp4"].problem == "pipe.mp4 is no file: expected a video"
    for name in ("dangling.mp4", "pipe.mp4"):
        assert not clips[name].is_gone()
        with pytest.raises(ClipError, match=name):
            clips[name].info()
        with pytest.raises(ClipError, match=name):
            next(clips[name].frames())


def test_names_that_are_no_unicode_have_readable_ones(tmp_path, root):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    try:
        with open(raw, "wb") as file:  # noqa: PTH123 - a path of bytes
            file.write((root / "a.mp4").read_bytes())
    except OSError:
        pytest.skip("this file system wants UTF-8")
    (clip,) = find_clips(tmp_path)
    assert clip.name == r"caf\udce9.mp4"
    assert clip.name.encode()
    assert clip.key.startswith("caf-udce9-")
    assert len(list(clip.frames())) == 24


def test_two_clips_of_one_key_are_told(tmp_path, monkeypatch):
    """A hash of eight bits gives 40 clips of one readable name some of one key."""
    full = hashlib.sha256

    class Short:
        def __init__(self, data):
            self.data = data

        def hexdigest(self):
            return full(self.data).hexdigest()[:1]

    for folder in range(40):
        (tmp_path / str(folder)).mkdir()
        (tmp_path / str(folder) / "clip.mp4").touch()
    assert len(find_clips(tmp_path)) == 40
    monkeypatch.setattr(source_clips.hashlib, "sha256", Short)
    with pytest.raises(ValueError, match=r"clip\.mp4 and .*clip\.mp4 would get the same key clip-.: rename one"):
        find_clips(tmp_path)


def test_what_lies_beside_clips_is_found_in_one_look_at_their_folder(tmp_path):
    for name in (
        "a.mp4",
        "a.txt",
        "a.json",
        "a.masks.mkv",
        "b.mp4",
        "b.source.webm",
        "b.other.mp4",
        "ab.txt",
        "[a].mp4",
    ):
        (tmp_path / name).touch()
    for name in ("a.source", "shots", "shots.masks", "deep.er"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").touch()
    (tmp_path / "shots.txt").touch()
    beside = {clip.name: clip.beside for clip in find_clips(tmp_path)}
    assert beside == {
        "a.mp4": (".json", ".masks.mkv", ".source", ".txt"),
        "b.mp4": (".source.webm",),
        "b.other.mp4": (),
        "[a].mp4": (),
        "shots": (".masks", ".txt"),
        "deep.er": (),
    }
    assert Clip("a.mp4", tmp_path / "a.mp4", beside["a.mp4"]).source() == tmp_path / "a.source"


def test_a_flat_folder_costs_the_same_for_each_clip(tmp_path):
    """Truth: time for four times the clips is about four times as long, not sixteen times."""

    def seconds(count):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.mp4").touch()
            (folder / f"{number}.txt").touch()
        started = time.process_time()
        clips = find_clips(folder)
        assert sum(clip.source() is None for clip in clips) == count
        return time.process_time() - started

    seconds(100)
    assert seconds(4000) < 9 * seconds(1000)
