"""Which faults cost one clip, which end the run, and that nothing of either is lost in silence."""

import errno
import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from train.pairs import prepare as prepare_module
from train.pairs import sample_videos, source_clips
from train.pairs.prepare import PrepareShard, plan_prepare
from train.pairs.storage import StorageError

from .conftest import folder_of, items, moving_texture


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
