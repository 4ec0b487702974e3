import errno
import io
import os
from contextlib import suppress
from pathlib import Path

import pytest

from train.pairs.storage import StorageError, write_durably, written_durably
from train.pairs.tar_shards import new_shard, read_sample


class FullDisk(io.BytesIO):
    """A file on a disk with 1000 bytes left."""

    def write(self, data):
        if self.tell() + len(data) > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    with suppress(KeyboardInterrupt), written_durably(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    write_durably(path, b"whole")
    assert path.read_bytes() == b"whole"


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch, make_config, prepare):
    original = Path.open

    def opened(self, mode="r", *args, **kwargs):
        if mode == "wb" and ".tar." in self.name:
            original(self, mode).close()
            return FullDisk()
        return original(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    config = make_config()
    with pytest.raises(StorageError, match=r"cannot write .*shard-000000\.tar: No space left on device.*same command"):
        prepare(config)
    folder = Path(config.output) / "clips"
    assert [path.name for path in folder.iterdir()] == ["plan.json"]


def test_a_folder_that_cannot_be_made_is_told(make_config, prepare, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot make the folder .*choose another output"):
        prepare(make_config("file"))


def test_a_reading_error_is_no_storage_error(tmp_path):
    with pytest.raises(OSError, match="of the clip") as error, new_shard(tmp_path / "s.tar"):
        raise OSError("of the clip")
    assert not isinstance(error.value, StorageError)
    assert list(tmp_path.iterdir()) == []


def test_a_sample_that_is_cut_back_leaves_no_trace(tmp_path):
    places = []
    for name, tries in (("a.tar", 2), ("b.tar", 1)):
        with new_shard(tmp_path / name) as shard:
            shard.add("one", {"json": b"{}", "bin": b"x" * 700})
            for attempt in range(tries):
                before = shard.size
                place = shard.add("two", {"json": b"{}" * (2 - attempt if tries > 1 else 1)})
                if attempt < tries - 1:
                    shard.cut_back(before)
            places.append(place)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert places[0] == places[1]
    assert read_sample(tmp_path / "a.tar", *places[0]) == {"json": b"{}"}


def test_a_damaged_shard_is_told(tmp_path):
    path = tmp_path / "s.tar"
    with new_shard(path) as shard:
        offset, size = shard.add("one", {"bin": b"x" * 5000})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"cannot be read at byte 0 .*delete it"):
        read_sample(path, offset, size)
    with pytest.raises(ValueError, match="cannot be read"):
        read_sample(tmp_path / "missing.tar", 0, 512)
