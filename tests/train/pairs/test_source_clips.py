import io
from pathlib import Path

import pytest

from train.pairs.clip_search import find_clips
from train.pairs.fingerprints import fingerprint
from train.pairs.source_clips import Clip, ClipError, ClipsGoneError


def test_keys_are_short_safe_and_unique():
    names = ["a.mp4", "b/a.mp4", "a.webm", "Ünïcode ☃ name.mp4", "x" * 300 + ".mp4", "dots.in.name.mp4", ".mp4"]
    keys = [Clip(name, None).key for name in names]
    assert len(set(keys)) == len(keys)
    assert all(len(key) <= 49 and key.isascii() and "." not in key and "/" not in key for key in keys)


def test_masks_may_be_a_video_and_must_reach_the_frame(tmp_path, root):
    (tmp_path / "c.mp4").write_bytes((root / "a.mp4").read_bytes())
    (tmp_path / "c.masks.mp4").write_bytes((root / "short.mp4").read_bytes())
    (clip,) = find_clips(tmp_path)
    assert clip.mask_at(2).shape == (64, 96)
    with pytest.raises(ClipError, match="no mask for frame 3"):
        clip.mask_at(3)


def test_a_clip_that_went_away_is_not_a_damaged_clip(tmp_path):
    with pytest.raises(ClipsGoneError, match="still mounted") as error:
        list(Clip("gone.mp4", tmp_path / "gone.mp4").frames())
    assert not isinstance(error.value, ClipError)


def test_the_fingerprint_changes_with_everything_that_belongs_to_the_clip(tmp_path, root):
    clip_path = tmp_path / "c.mp4"
    clip_path.write_bytes((root / "a.mp4").read_bytes())
    found = [find_clips(tmp_path)[0].fingerprint(masks=True, source=True)]

    def changed():
        (clip,) = find_clips(tmp_path)
        found.append(clip.fingerprint(masks=True, source=True))

    for name, content in (("c.txt", "a dog"), ("c.txt", "a cat"), ("c.masks.mp4", "m"), ("c.source.mp4", "s")):
        (tmp_path / name).write_text(content)
        changed()
    (tmp_path / "c.txt").unlink()
    changed()
    data = bytearray(clip_path.read_bytes())
    data[-20] ^= 1  # another clip of the same size
    clip_path.write_bytes(data)
    changed()
    assert len(set(found)) == len(found)
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for file in tmp_path.glob("c.*"):
        (copy / file.name).write_bytes(file.read_bytes())
    assert find_clips(copy)[0].fingerprint(masks=True, source=True) == found[-1]


def test_the_fingerprint_is_deaf_to_what_is_not_read(tmp_path, root):
    (tmp_path / "c.mp4").write_bytes((root / "a.mp4").read_bytes())
    (tmp_path / "c.txt").write_text("a dog")

    def found(masks, source):
        (clip,) = find_clips(tmp_path)
        return clip.fingerprint(masks=masks, source=source)

    first = found(False, False)
    (tmp_path / "c.json").write_text('{"caption": "never read beside a .txt"}')
    (tmp_path / "c.masks.mp4").write_text("m")
    (tmp_path / "c.source.mp4").write_text("s")
    assert found(False, False) == first
    used = [found(True, False), found(False, True), found(True, True)]
    assert len({first, *used}) == 4
    (tmp_path / "c.source.webm").write_text("a second one, the first is read")
    assert [found(True, False), found(False, True), found(True, True)] == used


@pytest.mark.parametrize(("size", "reads"), [(0, 1), (300, 1), (49152, 1), (49153, 3), (400_000, 3)])
def test_a_small_file_is_read_once(tmp_path, monkeypatch, size, reads):
    class Counted(io.BytesIO):
        def read(self, count):
            calls.append(count)
            return super().read(count)

    calls, path = [], tmp_path / "x"
    path.write_bytes(bytes(size))
    one = fingerprint(path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode: Counted(bytes(size)))
        assert fingerprint(path) == one
    assert len(calls) == reads
    path.write_bytes((bytes(size) + b"x")[-size:] if size else b"")
    assert (fingerprint(path) != one) == bool(size)
