import base64
import errno
import json
import os
import re
import tarfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from gvr_core.video import VideoReader
from train.pairs import prepare as prepare_module
from train.pairs import sample_videos, source_clips
from train.pairs.lossless_video import read_lossless
from train.pairs.prepare import PrepareShard, plan_prepare
from train.pairs.reading import StageSamples
from train.pairs.storage import StorageError, written_durably
from train.pairs.tar_shards import TarShard

from .conftest import moving_texture


def items(stage):
    return {item["clip"]: item for shard in range(stage.shards) for item in stage.read_manifest(shard)["items"]}


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


def test_an_empty_file_and_a_bad_caption_cost_only_their_clip(make_config, prepare, tmp_path, root):
    other = tmp_path / "clips"
    other.mkdir()
    (other / "a.mp4").write_bytes((root / "a.mp4").read_bytes())
    (other / "a.json").write_text("{not json", encoding="utf-8")
    (other / "b.mp4").write_bytes(b"")
    (other / "c.mp4").write_bytes((root / "a.mp4").read_bytes())
    found = items(prepare(make_config("out", f"root={other}")))
    assert found["a.mp4"]["status"] == found["b.mp4"]["status"] == "damaged"
    assert "caption beside a.mp4" in found["a.mp4"]["reason"]
    assert "0 bytes" in found["b.mp4"]["reason"]
    assert found["c.mp4"]["status"] == "kept"


def folder_of(tmp_path, root, **clips):
    """A folder of copies: name -> clip of `root`."""
    folder = tmp_path / "clips"
    folder.mkdir(exist_ok=True)
    for name, clip in clips.items():
        (folder / f"{name}.mp4").write_bytes((root / clip).read_bytes())
    return folder


def test_entries_that_cannot_be_read_cost_only_themselves(make_config, prepare, tmp_path, root):
    folder = folder_of(tmp_path, root, good="a.mp4")
    (folder / "dangling.mp4").symlink_to(folder / "nothing.mp4")
    try:
        with open(os.fsencode(folder) + b"/caf\xe9.mp4", "wb") as file:  # noqa: PTH123 - a path of bytes
            file.write((root / "broken.mp4").read_bytes())
    except OSError:
        pytest.skip("this file system wants UTF-8")
    stage = prepare(make_config("out", f"root={folder}"))
    found = items(stage)
    assert found["good.mp4"]["status"] == "kept"
    assert found["dangling.mp4"]["status"] == "damaged"
    assert "No such file" in found["dangling.mp4"]["reason"]
    assert found[r"caf\udce9.mp4"]["status"] == "damaged"
    assert r"caf\udce9.mp4" in stage.report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        cv2.error("resize failed"),
        RuntimeError("of a decoder"),
        AssertionError("of a library"),
        av.error.MemoryError(errno.ENOMEM, "a header that claims too much"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_one_clip_raises_costs_only_that_clip(make_config, prepare, tmp_path, root, monkeypatch, error):
    folder = folder_of(tmp_path, root, bad="a.mp4", good="a.mp4")
    original = source_clips.probe

    def probe(path):
        if path.name == "bad.mp4":
            raise error
        return original(path)

    monkeypatch.setattr(source_clips, "probe", probe)
    found = items(prepare(make_config("out", f"root={folder}")))
    assert found["good.mp4"]["status"] == "kept"
    assert found["bad.mp4"]["status"] == "damaged"
    assert str(error) in found["bad.mp4"]["reason"]
    if not isinstance(error, OSError):
        assert found["bad.mp4"]["reason"].startswith(f"{type(error).__name__}: ")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
    ids=["MemoryError", "OSError"],
)
def test_too_little_memory_ends_the_run_and_names_the_clip(make_config, prepare, monkeypatch, error):
    def probe(path):
        raise error

    monkeypatch.setattr(source_clips, "probe", probe)
    with pytest.raises(StorageError, match=r"could not go on at \S+\.\w+: .*[Mm]emory.*use fewer --workers"):
        prepare(make_config())


def test_an_encoder_without_memory_is_told_as_that(make_config, prepare, monkeypatch):
    def failing(**kwargs):
        raise MemoryError

    monkeypatch.setattr(sample_videos, "LosslessWriter", failing)
    with pytest.raises(StorageError, match=r"could not go on at a\.mp4: no memory: use fewer --workers"):
        prepare(make_config())


def test_opencv_without_memory_ends_the_run(make_config, prepare, monkeypatch):
    error = cv2.error("Insufficient memory")
    error.code = cv2.Error.StsNoMem

    def measure(*args):
        raise error

    monkeypatch.setattr(prepare_module, "measure_clip", measure)
    with pytest.raises(StorageError, match="Insufficient memory"):
        prepare(make_config())


@pytest.mark.parametrize(
    ("place", "name", "tool", "error"),
    [
        (
            sample_videos,
            "LosslessWriter",
            "the writer of lossless videos",
            av.error.EncoderNotFoundError(1, "Encoder not found", "libx264rgb"),
        ),
        (sample_videos.LosslessWriter, "write", "the writer of lossless videos", ValueError("of the encoder")),
        (sample_videos.cv2, "imencode", "the PNG encoder", cv2.error("of the encoder")),
    ],
    ids=["begin", "write", "png"],
)
def test_what_cannot_be_written_is_no_fault_of_the_clips(make_config, prepare, monkeypatch, place, name, tool, error):
    def failing(*args, **kwargs):
        if args[:1] == (".jpg",):  # of the report
            return original(*args, **kwargs)
        raise error

    original = getattr(place, name)
    monkeypatch.setattr(place, name, failing)
    config = make_config("out", "clips_per_shard=1")
    with pytest.raises(source_clips.ToolError, match=rf"{tool}.* failed at \S+\.\w+: {type(error).__name__}: .*ncoder"):
        prepare(config)
    monkeypatch.undo()
    assert {item["status"] for item in items(prepare(config)).values()} == {"kept", "dropped", "damaged"}


def test_a_measure_that_does_not_work_is_no_fault_of_the_clips(make_config, prepare, monkeypatch):
    def measure(frame):
        raise RuntimeError("weights of another version")

    monkeypatch.setattr(prepare_module, "cached_quality", lambda name: measure)
    with pytest.raises(source_clips.ToolError, match=r"quality failed at \S+: RuntimeError: weights of another"):
        prepare(make_config())


def test_a_shard_of_which_every_clip_fails_alike_is_not_done(make_config, prepare, tmp_path, root, monkeypatch):
    folder = folder_of(tmp_path, root, a="a.mp4", b="a.mp4", c="a.mp4")
    whole = source_clips.probe

    def probe(path):
        raise RuntimeError("of a library")

    monkeypatch.setattr(source_clips, "probe", probe)
    config = make_config("out", f"root={folder}", "clips_per_shard=3")
    with pytest.raises(source_clips.ToolError, match=r"all 3 clips of shard-000000\.tar failed alike, .*Runtime"):
        prepare(config)
    assert [path.name for path in (Path(config.output) / "clips").iterdir()] == ["plan.json"]
    monkeypatch.setattr(source_clips, "probe", lambda path: whole(path) if path.stem == "c" else probe(path))
    assert items(prepare(config))["a.mp4"]["status"] == "damaged"


@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.ESTALE])
def test_a_disk_that_drops_off_ends_the_run_in_one_line(make_config, tmp_path, root, monkeypatch, number):
    folder = folder_of(tmp_path, root, one="a.mp4")
    config = make_config("out", f"root={folder}")
    stage, clips = plan_prepare(config)
    original = Path.stat

    def stat(self, **kwargs):
        if self.suffix == ".mp4":
            raise OSError(number, os.strerror(number))
        return original(self, **kwargs)

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises((StorageError, source_clips.ClipsGoneError), match=r"still mounted|could not go on"):
        PrepareShard(config, stage, clips)(0)
    assert clips[0].is_gone()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.ESTALE])
def test_what_is_the_machines_fault_ends_the_run(make_config, prepare, monkeypatch, number):
    def probe(path):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(source_clips, "probe", probe)
    with pytest.raises(StorageError, match=r"could not go on at .*: .*mend that, then give the same command again"):
        prepare(make_config())


def test_a_disk_that_goes_away_ends_the_run(make_config, prepare, tmp_path, root, monkeypatch):
    folder = folder_of(tmp_path, root, one="a.mp4")
    original = source_clips.VideoReader

    def vanishing(path, **kwargs):
        (folder / "one.mp4").unlink(missing_ok=True)
        return original(path, **kwargs)

    monkeypatch.setattr(source_clips, "VideoReader", vanishing)
    with pytest.raises(source_clips.ClipsGoneError, match="still mounted"):
        prepare(make_config("out", f"root={folder}"))


def test_damage_that_ffmpeg_conceals_is_reported_with_its_frame(make_config, prepare, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    path = folder / "a.avi"
    frames = moving_texture(0, 24)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][7]
        position, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[position + size // 2 : position + size // 2 + 32] = np.random.default_rng(0).bytes(32)
    path.write_bytes(data)
    item = items(prepare(make_config("out", f"root={folder}")))["a.avi"]
    assert item["status"] == "damaged"
    assert "frame 7 is damaged" in item["reason"]


@pytest.mark.parametrize(
    ("context", "options", "reason"),
    [
        ({"sample_aspect_ratio": Fraction(64, 45)}, {}, "pixels are not square: 64/45"),
        ({"sample_aspect_ratio": Fraction(1280, 1281)}, {}, None),
        ({"color_trc": 16}, {}, "HDR: its values are PQ"),
        ({"color_trc": 18}, {}, "HDR: its values are HLG"),
        ({}, {"x264-params": "tff=1:log-level=none"}, "interlaced: "),
    ],
)
def test_clips_whose_pixels_are_not_what_they_seem_are_dropped(
    make_config, prepare, tmp_path, context, options, reason
):
    folder = tmp_path / "clips"
    folder.mkdir()
    frames = moving_texture(0, 12)
    with av.open(str(folder / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": "5", **options})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    item = items(prepare(make_config("out", f"root={folder}")))["a.mkv"]
    assert item["status"] == ("dropped" if reason else "kept")
    assert reason is None or item["reason"].startswith(reason)


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
