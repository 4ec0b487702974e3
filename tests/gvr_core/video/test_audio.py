"""Sound that goes along: copied or encoded anew, in time, cut to the pictures, never at their cost."""

import collections
import logging

import av
import numpy as np
import pytest

from gvr_core.video import VideoReader, VideoWriter, probe


def _carry(source, target, clip, fps=24):
    with VideoWriter(target, width=64, height=48, fps=fps, audio_from=source) as writer:
        writer.write(clip)
    return target


def _sound(path):
    """Codec, first channel's samples at 48 kHz and the time of the first one, against the first frame."""
    with av.open(str(path)) as container:
        video, stream = container.streams.video[0], container.streams.audio[0]
        frames = list(container.decode(stream))
        offset = float((video.start_time or 0) * video.time_base)
        # Packed formats come as one row in which the channels take turns.
        rows = [f.to_ndarray() if f.format.is_planar else f.to_ndarray().reshape(-1, 2).T for f in frames]
        samples = np.concatenate(rows, axis=1)[0].astype(np.float64)
        return stream.codec_context.codec.canonical_name, samples, frames[0].time - offset


def _onset(path):
    codec, samples, start = _sound(path)
    return codec, start + np.argmax(np.abs(samples) > 0.1 * np.abs(samples).max()) / 48000


@pytest.fixture
def long_clip(clip):
    return np.concatenate([clip] * 4)  # 1.5 seconds at 24 frames per second


@pytest.mark.parametrize(
    ("source_codec", "source_suffix", "suffix", "codec"),
    [
        ("aac", ".mp4", ".mp4", "aac"),
        ("aac", ".mp4", ".mkv", "aac"),
        ("aac", ".mkv", ".mov", "aac"),
        ("aac", ".mp4", ".webm", "opus"),
        ("libopus", ".webm", ".webm", "opus"),
        ("libopus", ".mkv", ".mp4", "aac"),
        ("flac", ".mkv", ".mp4", "aac"),
        ("flac", ".mkv", ".mkv", "flac"),
        ("pcm_s16le", ".mov", ".mp4", "aac"),
        ("mp3", ".mp4", ".mp4", "mp3"),
    ],
)
def test_sound_is_carried_in_time_and_cut(
    tmp_path, long_clip, make_video, tone, source_codec, source_suffix, suffix, codec
):
    picture = {"codec": "libvpx-vp9" if source_suffix == ".webm" else "libx264", "pix_fmt": "yuv420p"}
    source = make_video(
        tmp_path / f"source{source_suffix}", np.concatenate([long_clip, long_clip]), **picture, sound=tone,
        audio_codec=source_codec,
    )  # fmt: skip
    target = _carry(source, tmp_path / f"target{suffix}", long_clip)
    name, onset = _onset(target)
    assert name == codec
    assert onset == pytest.approx(_onset(source)[1], abs=0.03)
    assert onset == pytest.approx(0.5, abs=0.05)
    _, samples, start = _sound(target)
    assert start + len(samples) / 48000 == pytest.approx(1.5, abs=0.1)
    assert len(list(VideoReader(target))) == len(long_clip)


def test_copied_packets_are_the_same_bytes(tmp_path, long_clip, make_video, tone):
    source = make_video(tmp_path / "a.mp4", long_clip, codec="libx264", pix_fmt="yuv420p", sound=tone)

    def packets(path):
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    copied = packets(_carry(source, tmp_path / "b.mp4", long_clip))
    assert len(copied) > 60
    assert copied == packets(source)[: len(copied)]


def test_short_sound_ends_where_it_ends(tmp_path, long_clip, make_video, tone):
    source = make_video(tmp_path / "a.mp4", long_clip, codec="libx264", pix_fmt="yuv420p", sound=tone[:, :36000])
    target = _carry(source, tmp_path / "b.mp4", long_clip)
    assert len(_sound(target)[1]) / 48000 == pytest.approx(0.75, abs=0.05)
    assert probe(target).duration == pytest.approx(1.5, abs=0.01)


def test_sources_without_sound(tmp_path, clip, make_video):
    silent = make_video(tmp_path / "a.mp4", clip, codec="libx264", pix_fmt="yuv420p")
    folder = _carry(silent, tmp_path / "frames", clip)
    notes = tmp_path / "a.txt"
    notes.write_text("no media file, which the reader of the pictures reports")
    for number, source in enumerate((silent, folder, notes)):
        assert not probe(_carry(source, tmp_path / f"{number}.mp4", clip)).has_audio


def test_damaged_sound_ends_early_with_a_warning(tmp_path, long_clip, make_video, tone, caplog):
    source = make_video(tmp_path / "a.mkv", long_clip, sound=tone, audio_codec="flac")
    with av.open(str(source)) as container:
        victim = [bytes(p) for p in container.demux(audio=0) if p.size][6]
    data = source.read_bytes()
    assert data.count(victim) == 1
    source.write_bytes(data.replace(victim, b"\xff" * len(victim)))
    with caplog.at_level(logging.WARNING, logger="gvr"):
        target = _carry(source, tmp_path / "b.mp4", long_clip)
    assert "the sound of a.mkv is damaged and ends early" in caplog.text
    assert len(list(VideoReader(target))) == len(long_clip)


def test_interrupted_writing_leaves_nothing(tmp_path, long_clip, make_video, tone):
    source = make_video(tmp_path / "a.mp4", long_clip, codec="libx264", pix_fmt="yuv420p", sound=tone)

    def interrupted():
        yield from long_clip[:20, None]
        raise KeyboardInterrupt

    writer = VideoWriter(tmp_path / "b.mp4", width=64, height=48, fps=24, audio_from=source)
    with pytest.raises(KeyboardInterrupt), writer:
        collections.deque(map(writer.write, interrupted()), maxlen=0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
