"""What FFmpeg conceals: told in the log, refused where a reader is strict."""

import logging
import re
from fractions import Fraction
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from gvr_core.video import InterlacedError, VideoReader, probe
from gvr_core.video.decoding_faults import DecodingFaults


@pytest.fixture
def texture():
    """`24 96 160 3` uint8: a texture that slides by (2, 1) pixels a frame, so that packets hold something."""
    small = np.random.default_rng(0).integers(0, 256, (30, 52, 3), dtype=np.uint8)
    large = cv2.resize(small, (208, 120), interpolation=cv2.INTER_CUBIC)
    return np.stack([large[k : k + 96, 2 * k : 2 * k + 160] for k in range(24)])


def encode(path, frames, codec, *, options=None, **context):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    return path


def packets(path):
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("seed", range(8))
def test_bytes_overwritten_inside_a_packet_are_named_by_their_frame(tmp_path, texture, seed, caplog):
    path = encode(tmp_path / "a.avi", texture, "mpeg4")
    whole = np.stack(list(VideoReader(path, strict=True)))
    random = np.random.default_rng(seed)
    number = int(random.integers(2, 22))
    position, size = packets(path)[number]  # MPEG-4 without B-frames: a packet is the frame of its number
    data = bytearray(path.read_bytes())
    start = position + int(random.integers(16, size - 32))
    data[start : start + 32] = random.bytes(32)
    path.write_bytes(data)

    frames = np.stack(list(VideoReader(path)))
    assert len(frames) == len(whole)
    assert np.array_equal(frames[:number], whole[:number])
    assert not np.array_equal(frames[number], whole[number])
    assert f"a.avi is damaged: frame {number} is damaged" in caplog.text
    assert len(caplog.records) == 1
    reader, read = VideoReader(path, strict=True), 0
    with pytest.raises(ValueError, match=rf"a\.avi is damaged: frame {number} is damaged.*download it again"):
        for read, _ in enumerate(reader, 1):  # noqa: B007 - counted up to the error
            pass
    assert read == number


def test_damage_of_h264_and_av1_is_seen_where_the_decoder_sees_it(tmp_path, texture):
    """Arithmetic coding turns damaged bytes into other pictures: some damage cannot be seen, none may be made up."""
    for name, codec, least in (("a.mp4", "libx264", 3), ("b.mp4", "libsvtav1", 12)):
        try:
            path = encode(tmp_path / name, texture, codec)
        except (av.FFmpegError, ValueError):
            continue  # this PyAV has no such encoder
        assert len(list(VideoReader(path, strict=True))) == len(texture)
        data, places, seen = path.read_bytes(), packets(path), 0
        for seed in range(16):
            random = np.random.default_rng(seed)
            position, size = places[int(random.integers(len(places)))]
            damaged = bytearray(data)
            start = position + int(random.integers(max(1, size - 32)))
            damaged[start : start + 32] = random.bytes(32)
            path.write_bytes(damaged)
            try:
                list(VideoReader(path, strict=True))
            except ValueError as error:
                seen += bool(re.search(r"damaged: .*frame|cut short", str(error)))
        assert seen >= least


def watched(times, shown, *, strict=True):
    stream = SimpleNamespace(index=0, codec_context=SimpleNamespace(codec=SimpleNamespace(canonical_name="hevc")))
    faults = DecodingFaults("a.mp4", stream, strict=strict)
    for time in times:
        is_hidden = time is not None and time < 0
        faults.packet(SimpleNamespace(is_corrupt=False, size=9, pts=time, is_discard=is_hidden), 0)
    for count, time in enumerate(shown):
        faults.frame(SimpleNamespace(pts=time, is_corrupt=False, interlaced_frame=False), count)
    faults.end(len(shown))


def test_a_packet_without_its_frame_is_a_lost_frame():
    watched([0, 3, 1, 2, 4], [0, 1, 2, 3, 4])
    with pytest.raises(ValueError, match="frame 2 could not be decoded"):
        watched([0, 3, 1, 2, 4], [0, 1, 3, 4])
    with pytest.raises(ValueError, match="frame 4 could not be decoded"):
        watched([0, 3, 1, 2, 4], [0, 1, 2, 3])


def test_frames_that_a_cut_clip_never_shows_are_not_lost(caplog):
    watched([2, 0, 1, 3, 4], [2, 3, 4])  # begins with an open group: 0 and 1 lean on what was cut off
    watched([-2, -1, 0, 1], [0, 1])  # an edit list hides what is before 0
    watched([0, None, 2], [0])  # without times nothing can be counted
    assert not caplog.records
    watched([0, 1, 2, 3, 4], [0, 4], strict=False)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_interlaced_frames_are_refused_on_request(tmp_path, texture):
    path = encode(tmp_path / "a.mp4", texture, "libx264", options={"x264-params": "tff=1:log-level=none"})
    assert len(list(VideoReader(path))) == len(texture)
    with pytest.raises(InterlacedError, match=r"a\.mp4 is interlaced at frame 0"):
        list(VideoReader(path, strict=True))


def test_pixel_shape_and_hdr_are_known(tmp_path, texture):
    plain = probe(encode(tmp_path / "a.mp4", texture, "libx264"))
    assert (plain.pixel_aspect, plain.hdr) == (1, None)
    wide = encode(tmp_path / "b.mp4", texture, "libx264", sample_aspect_ratio=Fraction(64, 45))
    assert probe(wide).pixel_aspect == Fraction(64, 45)
    for code, name in ((16, "PQ"), (18, "HLG"), (1, None)):
        assert probe(encode(tmp_path / "c.mkv", texture, "libx264", color_trc=code)).hdr == name
