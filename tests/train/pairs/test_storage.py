import errno
import io
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from train.pairs.parquet_index import write_index
from train.pairs.report import write_report
from train.pairs.stage import make_stage
from train.pairs.storage import StorageError, create_durably, write_durably, written_durably
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


def test_a_disk_that_refuses_when_the_file_is_closed_is_told(tmp_path, monkeypatch):
    class Refusing(io.BytesIO):
        def close(self):
            was_open = not self.closed
            super().close()
            if was_open:
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r": Refusing() if mode == "wb" else original(self, mode))
    with (
        pytest.raises(StorageError, match=r"cannot write .*s\.tar: .*make room"),
        new_shard(tmp_path / "s.tar") as shard,
    ):
        shard.add("one", {"bin": b"x"})
    assert list(tmp_path.iterdir()) == []


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


def test_processes_that_begin_one_folder_at_once_all_get_it(tmp_path, race):
    for turn in range(6):
        folder = tmp_path / str(turn) / "clips"

        def begin(number, barrier, folder=folder):
            barrier.wait(30)
            make_stage(folder, {"command": "prepare", "clips": ["a.mp4"] * 500}, 3)

        assert race(begin) == [None] * 4
        assert [path.name for path in folder.iterdir()] == ["plan.json"]


def test_of_processes_with_other_settings_one_gets_the_folder_and_all_others_are_told(tmp_path, race):
    for turn in range(6):

        def begin(number, barrier, folder=tmp_path / str(turn)):
            barrier.wait(30)
            make_stage(folder, {"command": "prepare", "seed": number}, 3)

        told = race(begin)
        assert told.count(None) == 1
        assert all("begun with other settings (seed was" in text for text in told if text is not None)


def test_processes_that_write_one_file_or_shard_at_once_do_not_disturb_each_other(tmp_path, race):
    path = tmp_path / "s.tar"

    def write(number, barrier):
        for turn in range(5):
            barrier.wait(30)
            with new_shard(path) as shard:
                shard.add("one", {"bin": b"x" * 100_000})
                barrier.wait(30)  # all are in the middle of it
                shard.add("two", {"bin": bytes([turn]) * 100_000})
            write_durably(tmp_path / "index", b"the same")

    assert race(write) == [None] * 4
    assert {path.name for path in tmp_path.iterdir()} == {"s.tar", "index"}
    with new_shard(tmp_path / "alone.tar") as shard:
        shard.add("one", {"bin": b"x" * 100_000})
        shard.add("two", {"bin": bytes([4]) * 100_000})
    assert path.read_bytes() == (tmp_path / "alone.tar").read_bytes()


def test_only_what_nobody_writes_any_more_is_deleted(tmp_path, dead_process):
    path = tmp_path / "x.json"
    with written_durably(path) as temporary:
        temporary.write_bytes(b"first")
        own = temporary.name
    mine, machine = f"-{os.getpid()}.", own.split(".")[-2].partition("-")[0]
    hidden = {
        "live": own.replace(mine, f"-{os.getppid()}."),
        "dead": own.replace(mine, f"-{dead_process}."),
        "of this number before": own,
        "elsewhere": own.replace(machine, "00000000").replace(mine, f"-{dead_process}."),
        "elsewhere, long ago": own.replace(machine, "11111111"),
        "of another name": own.replace("x.json", "y.json").replace(mine, f"-{dead_process}."),
    }
    for name in hidden.values():
        (tmp_path / name).write_bytes(b"half")
    long_ago = time.time() - 3 * 24 * 3600
    os.utime(tmp_path / hidden["elsewhere, long ago"], (long_ago, long_ago))
    write_durably(path, b"second")
    left = {kind for kind, name in hidden.items() if (tmp_path / name).exists()}
    assert left == {"live", "elsewhere", "of another name"}
    assert path.read_bytes() == b"second"


def test_the_hidden_file_of_a_killed_beginner_goes_with_the_next_one(tmp_path, dead_process):
    folder = tmp_path / "clips"
    with written_durably(tmp_path / "plan.json") as temporary:
        temporary.touch()
        name = temporary.name.replace(f"-{os.getpid()}.", f"-{dead_process}.")
    for _ in range(2):
        make_stage(folder, {"command": "prepare"}, 3)
        (folder / name).touch()
    make_stage(folder, {"command": "prepare"}, 3)
    assert [path.name for path in folder.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_is_created_once(tmp_path, monkeypatch, has_links):
    if not has_links:

        def refused(self, target):
            raise OSError(errno.EPERM, "no links on this disk")

        monkeypatch.setattr(Path, "hardlink_to", refused)
    create_durably(tmp_path / "plan", b"first")
    if has_links:
        create_durably(tmp_path / "plan", b"second")
    assert (tmp_path / "plan").read_bytes() == b"first"
    assert len(list(tmp_path.iterdir())) == 1


@contextmanager
def nearly_full(most):
    """The system itself refuses every file of this process that grows above `most` bytes."""
    resource = pytest.importorskip("resource", reason="limits of files are a matter of POSIX")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("what", ["plan.json", "shard-000000.json", "index.parquet", "report.html"])
def test_whatever_does_not_fit_is_told_and_leaves_no_half_file(tmp_path, make_config, prepare, files, what):
    stage = prepare(make_config())
    before = files(stage.folder)
    before.pop(what)
    (stage.folder / what).unlink()
    steps = {
        "plan.json": lambda: make_stage(stage.folder, stage.settings, stage.shards),
        "shard-000000.json": lambda: stage.finish_shard(0, inputs="", samples=[{"x": 0}] * 500, items=[], pictures={}),
        "index.parquet": lambda: write_index(stage),
        "report.html": lambda: write_report(stage),
    }
    with nearly_full(200), pytest.raises(StorageError, match=rf"cannot write .*{what}: .*make room"):
        steps[what]()
    before.pop("shard-000000.pictures.json")  # written anew before its manifest
    after = files(stage.folder)
    after.pop("shard-000000.pictures.json")
    assert after == before
