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


def watched(times, shown, *, strict=True, ahead=10**6):
    """Packets at `times`, of which the decoder reads `ahead`, then frames at the times `shown`."""
    stream = SimpleNamespace(codec_context=SimpleNamespace(codec=SimpleNamespace(canonical_name="hevc")))
    faults, read = DecodingFaults("a.mp4", stream, strict=strict), 0
    for count, time in enumerate(shown):
        while read < min(len(times), count + ahead):
            is_hidden = times[read] is not None and times[read] < 0
            packet = {"is_corrupt": False, "is_keyframe": not read, "size": 9, "is_discard": is_hidden}
            faults.packet(SimpleNamespace(**packet, pts=times[read]), count)
            read += 1
        faults.frame(SimpleNamespace(pts=time, is_corrupt=False, interlaced_frame=False), count)
    faults.end(len(shown))


def test_a_packet_without_its_frame_is_a_lost_frame():
    watched([0, 3, 1, 2, 4], [0, 1, 2, 3, 4])
    with pytest.raises(ValueError, match="a frame near number 3 could not be decoded"):
        watched([0, 3, 1, 2, 4], [0, 1, 3, 4])
    with pytest.raises(ValueError, match="a frame near number 4 could not be decoded"):
        watched([0, 3, 1, 2, 4], [0, 1, 2, 3])
    with pytest.raises(ValueError, match="a frame near number 30 could not be decoded"):
        watched(range(90), [*range(30), *range(31, 60)], ahead=4)


def test_times_that_jump_lose_no_frame_however_far_ahead_the_decoder_reads():
    parts = {"again": [*range(50)] * 2, "back": [*range(900, 950), *range(50)], "on": [*range(50), *range(900, 950)]}
    for times in parts.values():
        for ahead in (1, 20, 40):
            watched(times, times, ahead=ahead)
    for name in ("again", "on"):
        with pytest.raises(ValueError, match="a frame near number 60 could not be decoded"):
            watched(parts[name], parts[name][:60] + parts[name][61:], ahead=40)


def test_frames_that_a_cut_clip_never_shows_are_not_lost(caplog):
    watched([2, 0, 1, 3, 4], [2, 3, 4])  # begins with an open group: 0 and 1 lean on what was cut off
    watched([-2, -1, 0, 1], [0, 1])  # an edit list hides what is before 0
    watched([0, None, 2], [0])  # without times nothing can be counted
    assert not caplog.records
    watched([0, 1, 2, 3, 4], [0, 4], strict=False)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


X264 = {"x264-params": "keyint=12:bframes=3:b-pyramid=normal:open-gop=1:log-level=none"}
X265 = {"x265-params": "keyint=12:min-keyint=12:scenecut=0:bframes=4:open-gop=1:log-level=none", "preset": "ultrafast"}


@pytest.fixture
def long(texture):
    """`72 96 160 3` uint8."""
    return np.concatenate([texture, texture[::-1], texture])


def shown(path, caplog):
    """How many frames a strict reader gives; no reader has anything to say."""
    count = len(list(VideoReader(path, strict=True)))
    assert len(list(VideoReader(path))) == count
    assert not caplog.records
    return count


@pytest.mark.parametrize("name", ["a.avi", "a.wmv", "a.mp4", "a.ts"])
@pytest.mark.parametrize("options", [X264, {"x264-params": "bframes=16:b-adapt=0:keyint=40:log-level=none"}])
def test_frames_stored_in_the_order_of_decoding_are_all_there(tmp_path, long, caplog, name, options):
    assert shown(encode(tmp_path / name, long, "libx264", options=options), caplog) == 72


def transport_packets(data):
    return [data[start : start + 188] for start in range(0, len(data), 188)]


def counted_anew(data):
    """A transport stream whose continuity counters go on where it was joined: only its clock jumps."""
    counts, packets = {}, []
    for packet in map(bytearray, transport_packets(data)):
        program = (packet[1] & 31) << 8 | packet[2]
        if packet[3] & 0x10:
            counts[program] = (counts.get(program, -1) + 1) & 15
        packet[3] = packet[3] & 0xF0 | counts.get(program, 0)
        packets.append(packet)
    return b"".join(packets)


@pytest.mark.parametrize("options", [X264, {"x264-params": "keyint=12:bframes=0:log-level=none"}])
@pytest.mark.parametrize("join", [bytes, counted_anew], ids=["joined", "jumping"])
def test_a_transport_stream_may_be_joined_and_its_clock_may_jump(tmp_path, long, caplog, options, join):
    path = encode(tmp_path / "a.ts", long, "libx264", options=options)
    path.write_bytes(join(3 * path.read_bytes()))
    assert shown(path, caplog) == 216


@pytest.fixture
def hevc(tmp_path, long):
    try:
        return encode(tmp_path / "a.mp4", long, "libx265", options=X265)
    except (av.FFmpegError, ValueError):
        pytest.skip("this PyAV has no HEVC encoder")


def test_a_join_that_loses_frames_is_named(tmp_path, hevc, caplog):
    """A part that begins with an open group: what leans on the frames before it is not shown, without a word."""
    part = tmp_path / "part.ts"
    with av.open(str(hevc)) as source, av.open(str(part), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        keys = 0
        for packet in source.demux(video=0):
            keys += packet.is_keyframe
            if keys > 2 and packet.size:
                packet.stream = stream
                target.mux(packet)
    assert shown(part, caplog) == 48
    joined = tmp_path / "joined.ts"
    joined.write_bytes(2 * part.read_bytes())
    assert len(list(VideoReader(joined))) < 96
    assert "joined.ts is damaged: a frame near " in caplog.text
    with pytest.raises(ValueError, match=r"joined\.ts is damaged: a frame near number 4\d could not be decoded"):
        list(VideoReader(joined, strict=True))


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_frames_that_a_transport_stream_lost_on_its_way_are_missed(tmp_path, long, codec):
    """No decoder misses a frame of which nothing arrived. Every packet counts, except near the next key frame."""
    options = {
        "x264-params": "keyint=72:scenecut=0:log-level=none",
        "x265-params": "keyint=72:scenecut=0:log-level=none",
    }
    try:
        path = encode(tmp_path / "a.ts", long, codec, options=options | {"g": "72"})
    except (av.FFmpegError, ValueError):
        pytest.skip(f"this PyAV has no {codec}")
    packets = transport_packets(path.read_bytes())
    starts = [n for n, packet in enumerate(packets) if packet[1] & 0x40 and (packet[1] & 31) << 8 | packet[2] == 256]
    assert len(starts) > 60
    for frame in range(8, 60, 9):
        path.write_bytes(b"".join(packets[: starts[frame]] + packets[starts[frame + 1] :]))
        with pytest.raises(ValueError, match="is damaged: "):
            list(VideoReader(path, strict=True))


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
