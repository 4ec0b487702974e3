import base64
import json
import os
import re
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from gvr_core.video import VideoReader
from train.pairs.lossless_video import read_lossless
from train.pairs.reading import StageSamples
from train.pairs.storage import written_durably
from train.pairs.tar_shards import TarShard

from .conftest import folder_of, items


def test_good_clips_are_kept_and_every_other_is_named_with_its_reason(make_config, prepare):
    stage = prepare(make_config())
    found = items(stage)
    assert {name for name, item in found.items() if item["status"] == "kept"} == {
        "a.mp4",
        "more/b.mkv",
        "still.mp4",
        "pictures",
    }
    assert "too dark: mean luma" in found["dark.mp4"]["reason"]
    assert "too blurred" in found["flat.mp4"]["reason"]
    assert found["short.mp4"]["reason"] == "too short: 3 frames, the shortest sample has 5"
    assert found["broken.mp4"]["status"] == "damaged"
    assert "broken.mp4" in found["broken.mp4"]["reason"]
    page = stage.report.read_text(encoding="utf-8")
    assert all(name in page for name in ("broken.mp4", "too dark", "too short", "a.mp4"))
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing beside the file


def test_samples_are_the_frames_of_the_clip_bit_for_bit(make_config, prepare, root):
    stage = prepare(make_config())
    samples = StageSamples(stage.folder, "prepare")
    checked = 0
    for k in range(len(samples)):
        row, members = samples[k]
        assert json.loads(members["json"])["key"] == row["key"]
        with VideoReader(root / row["clip"]) as reader:
            truth = np.stack(list(reader))
        frames = np.stack(list(read_lossless(members["mp4"])))
        assert np.array_equal(frames, truth[row["start"] : row["start"] + row["frames"]])
        if row["reference_frame"] is not None:
            assert not row["start"] <= row["reference_frame"] < row["start"] + row["frames"]
            picture = cv2.imdecode(np.frombuffer(members["reference.png"], np.uint8), cv2.IMREAD_COLOR)
            assert np.array_equal(picture[..., ::-1], truth[row["reference_frame"]])
            checked += 1
    assert checked >= 5
    assert {row["frames"] for row in samples.table.to_pylist()} == {5, 9}


def test_captions_and_masks_come_along(make_config, prepare):
    samples = StageSamples(prepare(make_config()).folder, "prepare")
    rows = [samples[k] for k in range(len(samples))]
    captions = {row["clip"]: row["caption"] for row, _ in rows}
    assert captions["a.mp4"] == "a sliding texture"
    assert captions["more/b.mkv"] == "ein gleitendes Muster, grün"
    assert captions["still.mp4"] == ""
    for row, members in rows:
        assert row["has_mask"] == (row["clip"] == "a.mp4") == ("reference_mask.png" in members)
        if row["has_mask"]:
            mask = cv2.imdecode(np.frombuffer(members["reference_mask.png"], np.uint8), cv2.IMREAD_GRAYSCALE)
            assert int((mask[0] == 255).sum()) == 2 * row["reference_frame"]


def test_shards_are_plain_tar_files_in_order_without_times_and_owners(make_config, prepare):
    stage = prepare(make_config())
    keys = []
    for shard in range(stage.shards):
        with tarfile.open(stage.tar(shard)) as tar:
            for info in tar:
                assert (info.mtime, info.uid, info.gid, info.uname, info.mode) == (0, 0, 0, "", 0o644)
                keys.append(info.name.partition(".")[0])
    assert keys == sorted(keys)
    assert set(keys) == set(StageSamples(stage.folder, "prepare").table["key"].to_pylist())


def test_samples_are_the_same_bytes_however_they_are_spread(make_config, prepare, files):
    whole = prepare(make_config("whole"))
    config = make_config("parts")
    assert not prepare(config, 1, 2).index.exists()  # the other job's shards are missing
    parts = prepare(config, 0, 2)
    assert files(parts.folder) == files(whole.folder)

    other = prepare(make_config("other", "clips_per_shard=5"))
    assert other.shards < whole.shards
    a, b = (StageSamples(stage.folder, "prepare") for stage in (whole, other))
    assert a.table["key"].to_pylist() == b.table["key"].to_pylist()
    assert all(a[k][1] == b[k][1] for k in range(len(a)))


def test_what_is_done_stays_and_what_is_missing_is_made_again(make_config, prepare, files, dead_process):
    config = make_config()
    stage = prepare(config)
    before = files(stage.folder)
    times = {path.name: path.stat().st_mtime_ns for path in stage.folder.glob("*.tar")}
    stage.manifest(0).unlink()
    with written_durably(stage.tar(0)) as temporary:
        temporary.write_bytes(b"of a killed process")
        left_behind = temporary.rename(
            temporary.with_name(temporary.name.replace(f"-{os.getpid()}.", f"-{dead_process}."))
        )
        temporary.write_bytes(before[stage.tar(0).name])
    assert left_behind.exists()
    stage.tar(1).write_bytes(b"cut off")
    prepare(config)
    assert files(stage.folder) == before
    kept = [name for name in times if name not in (stage.tar(0).name, stage.tar(1).name)]
    assert kept
    assert all((stage.folder / name).stat().st_mtime_ns == times[name] for name in kept)


class Killed(BaseException):
    """What no handler sees coming."""


def test_stopped_at_any_step_it_goes_on_to_the_same_bytes(make_config, prepare, files, monkeypatch):
    whole = prepare(make_config("whole"))
    config, runs = make_config("stopped"), 0

    def run_until(step):
        """The same command, ended without any cleaning up at its n-th step; True when it came to its end."""
        steps = 0

        def counted(original):
            def wrapped(*args):
                nonlocal steps
                steps += 1
                if steps == step:
                    patch.setattr(Path, "unlink", lambda self, missing_ok: None)
                    raise Killed
                return original(*args)

            return wrapped

        with monkeypatch.context() as patch:
            for place in ((TarShard, "add"), (TarShard, "close"), (Path, "replace"), (Path, "write_bytes")):
                patch.setattr(*place, counted(getattr(*place)))
            try:
                prepare(config)
            except Killed:
                return False
        return True

    while not run_until(runs + 1):
        runs += 1
    assert runs > 10
    assert files(Path(config.output) / "clips") == files(whole.folder)


def test_another_config_or_other_clips_are_refused(make_config, prepare, root):
    prepare(make_config())
    with pytest.raises(ValueError, match=r"filter\.luma_least was 20\.0 and is 30\.0 now\): choose another output"):
        prepare(make_config("out", "filter.luma_least=30"))
    new = root / "new.mp4"
    new.write_bytes(b"")
    try:
        with pytest.raises(ValueError, match=r"1 clips are new or gone, the first is new\.mp4"):
            prepare(make_config())
    finally:
        new.unlink()


def test_a_caption_that_comes_later_or_changes_is_taken_over(make_config, prepare, tmp_path, root):
    folder = folder_of(tmp_path, root, **{f"c{number}": "a.mp4" for number in range(4)})
    config = make_config("out", f"root={folder}", "clips_per_shard=1")
    stage = prepare(config)
    times = {path: path.stat().st_mtime_ns for path in stage.folder.glob("*.tar")}
    (folder / "c1.txt").write_bytes(b"\xef\xbb\xbfdogs &amp;amp; cats")
    prepare(config)
    rows = StageSamples(stage.folder, "prepare").table.to_pylist()
    assert {row["clip"]: row["caption"] for row in rows} == {
        "c0.mp4": "",
        "c1.mp4": "dogs & cats",
        "c2.mp4": "",
        "c3.mp4": "",
    }
    assert sum(path.stat().st_mtime_ns != time for path, time in times.items()) == 1


def test_a_clip_replaced_by_one_of_the_same_size_is_taken_over(make_config, prepare, tmp_path, root):
    folder = folder_of(tmp_path, root, c="a.mp4")
    config = make_config("out", f"root={folder}")
    before = prepare(config).tar(0).read_bytes()
    other = (root / "still.mp4").read_bytes()
    assert len(other) < (folder / "c.mp4").stat().st_size
    (folder / "c.mp4").write_bytes(other + b"\0" * ((folder / "c.mp4").stat().st_size - len(other)))
    assert prepare(config).tar(0).read_bytes() != before


def test_clips_without_caption_are_counted(make_config, prepare, capsys, caplog):
    stage = prepare(make_config())
    assert "2 of the 4 kept clips are without caption" in capsys.readouterr().out
    assert "6 of 8 clips have no caption beside them" in caplog.text
    assert "<b>2</b>kept without caption" in stage.report.read_text(encoding="utf-8")


def test_a_small_clip_is_dropped_or_enlarged(make_config, prepare):
    large = "cut.buckets=[[192, 128]]"
    assert "too small: 96 x 64" in items(prepare(make_config("out", large)))["a.mp4"]["reason"]
    assert items(prepare(make_config("enlarged", large, "cut.enlarge=true")))["a.mp4"]["status"] == "kept"


def test_previews_are_small_pictures(make_config, prepare):
    stage = prepare(make_config())
    pictures = json.loads(stage.pictures(0).read_bytes())
    data = np.frombuffer(base64.b64decode(next(iter(pictures.values()))), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == (120, 180, 3)
