"""The sound track of one file carried over to another, packet by packet beside the pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

_log = logging.getLogger("gvr")

_BLOCK = 1024  # samples encoded at a time, which is also the precision of the cut
_OPUS_RATE = 48000


class AudioTrack:
    """Sound of a source, shifted so that time 0 is the source's first frame, muxed up to a given time.

    A damaged track ends early with a warning: it must not cost the pictures.

    Args:
        name: Source in log messages.
        source: Opened source, closed by this object.
        packets: Packets for the output with their start in seconds, ascending.
        mux: Takes a packet.
        flush: Returns what the encoder still holds.
    """

    def __init__(
        self,
        name: str,
        source: InputContainer,
        packets: Iterator[tuple[Fraction, list[av.Packet]]],
        mux: Callable[[list[av.Packet]], None],
        flush: Callable[[], list[av.Packet]],
    ) -> None:
        self._name = name
        self._source = source
        self._packets = packets
        self._mux = mux
        self._flush = flush
        self._next = self._advance()

    def write_until(self, seconds: Fraction) -> None:
        """Muxes every packet that starts before this time."""
        while self._next is not None and self._next[0] < seconds:
            self._mux(self._next[1])
            self._next = self._advance()

    def finish(self) -> None:
        """Ends the track; what starts later than the last `write_until` is left out."""
        self._mux(self._flush())
        self.close()

    def close(self) -> None:
        self._source.close()

    def _advance(self) -> tuple[Fraction, list[av.Packet]] | None:
        try:
            return next(self._packets, None)
        except av.FFmpegError as error:
            _log.warning("the sound of %s is damaged and ends early: %s", self._name, error.strerror)
            return None


def open_audio(path: Path, output: OutputContainer, *, copied: frozenset[str], codec: str) -> AudioTrack | None:
    """The first sound track of a file, made ready to go into `output`; None where there is no sound.

    Args:
        path: File; a folder or a picture has no sound.
        output: Opened for writing, no packet written yet.
        copied: Codecs that go over as they are.
        codec: Encoder for all others.
    """
    if path.is_dir():
        return None
    try:
        source = av.open(str(path.absolute()))
    except av.FFmpegError:
        return None  # such as an animated webp, which only the picture reader knows
    if not source.streams.audio:
        source.close()
        return None
    stream = source.streams.audio[0]
    videos = source.streams.video
    origin = Fraction(0)
    if videos and videos[0].start_time is not None:
        origin = videos[0].start_time * videos[0].time_base
    # Not the name, which is the decoder's, such as mp3float.
    if stream.codec.canonical_name in copied:
        target = output.add_stream_from_template(stream)
        return AudioTrack(path.name, source, _copied(source, stream, target, origin), output.mux, list)
    target = output.add_stream(codec, rate=_OPUS_RATE if codec == "libopus" else stream.rate)
    target.layout = {1: "mono", 6: "5.1"}.get(stream.channels, "stereo")
    packets = _encoded(source, stream, target, origin)
    return AudioTrack(path.name, source, packets, output.mux, lambda: target.encode(None))


def _copied(
    source: InputContainer, stream: AudioStream, target: AudioStream, origin: Fraction
) -> Iterator[tuple[Fraction, list[av.Packet]]]:
    shift = round(origin / stream.time_base)
    for packet in source.demux(stream):
        if packet.dts is None or packet.pts is None:
            continue
        packet.pts -= shift
        packet.dts -= shift
        # A packet that ends at 0 is the decoder's run-up, without which the first sound crackles.
        if packet.pts + (packet.duration or 0) >= 0:
            packet.stream = target
            yield packet.pts * stream.time_base, [packet]


def _encoded(
    source: InputContainer, stream: AudioStream, target: AudioStream, origin: Fraction
) -> Iterator[tuple[Fraction, list[av.Packet]]]:
    resampler = av.AudioResampler("fltp", target.layout, target.rate, frame_size=_BLOCK)
    for decoded in source.decode(stream):
        for frame in resampler.resample(decoded):
            frame.pts -= round(origin / frame.time_base)
            if frame.pts + frame.samples > 0:
                yield frame.pts * frame.time_base, target.encode(frame)
