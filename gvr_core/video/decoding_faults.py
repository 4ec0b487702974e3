"""What FFmpeg keeps quiet about: damage that it conceals, frames that it leaves out, fields instead of frames."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import av
from av.video.stream import VideoStream

_ONE_FRAME_A_PACKET = frozenset({"h264", "hevc", "av1"})
"""Codecs whose packets hold a frame each that carries the packet's time. VP8 and VP9 have packets without one.

AVI and ASF store when a packet is decoded, not when its frame is shown: there the times of the shown frames go back and
forth. Those of a transport stream may jump or begin anew where parts were joined.
"""
_DEEPEST = 16
"""Frames that H.264 and HEVC may show between decoding one and showing it."""
_JOIN = 3
"""Where a transport stream was joined bytes seem to be missing, and one of so many packets is a key frame."""

_log = logging.getLogger("gvr")


class InterlacedError(ValueError):
    """Frames are woven from two moments; the message names the first one."""


@dataclass
class _Due:
    """A frame that is still to be shown: its time, its packet's number, how many later ones were shown before it."""

    time: int
    packet: int
    overdue: int = 0


class DecodingFaults:
    """Watches packets and frames of one pass over a video.

    Not everything can be seen: where damaged bytes still decode to something, no codec without a checksum notices.

    Args:
        name: of the file, for messages.
        stream: what is decoded.
        strict: raise at the first fault, interlaced frames among them; otherwise a warning names the first fault.
    """

    def __init__(self, name: str, stream: VideoStream, *, strict: bool) -> None:
        self._name, self._strict = name, strict
        self._counts = stream.codec_context.codec.canonical_name in _ONE_FRAME_A_PACKET
        self._due: list[_Due] = []
        self._packets = self._shown = 0  # packets so far; the latest one whose frame was shown
        self._first: _Due | None = None
        self._gap = 0  # packets until missing bytes are a fault
        self._has_fault = False

    def packet(self, packet: av.Packet, count: int) -> None:
        """Before it is decoded; `count` frames were shown so far."""
        if packet.is_keyframe:
            self._gap = 0
        elif self._gap:
            self._gap -= 1
            if not self._gap or not packet.size:
                self._gap = 0
                self._found(f"bytes are missing near frame {count}")
        if packet.is_corrupt and not self._gap:
            self._gap = _JOIN
        if not packet.size:  # the end
            return
        self._packets += 1
        if packet.pts is None:
            self._counts = False
        elif self._counts and not packet.is_discard:
            self._due.append(_Due(packet.pts, self._packets))

    def frame(self, frame: av.VideoFrame, count: int) -> None:
        """Frame number `count` as it will be shown."""
        if self._strict and frame.interlaced_frame:
            raise InterlacedError(f"{self._name} is interlaced at frame {count}: deinterlace it, or leave it out")
        if frame.is_corrupt:
            self._found(f"frame {count} is damaged, FFmpeg filled it up with other pixels")
        if not self._counts or frame.pts is None:
            return
        found = next((due for due in self._due if due.time == frame.pts), None)
        if found is not None:
            self._due.remove(found)
            self._shown = max(self._shown, found.packet)
        if self._first is None:
            self._first = _Due(frame.pts, self._shown)
        # A clip that was cut without encoding may begin with frames whose references were cut off.
        first = self._first
        self._due = [due for due in self._due if due.time >= first.time and due.packet >= first.packet]
        for due in self._due:
            # Decoded before this frame: a decoder with many threads reads far ahead, beyond a jump of the times too.
            if due.time < frame.pts and due.packet < self._shown:
                due.overdue += 1
        lost = [due for due in self._due if due.overdue > _DEEPEST]
        if lost:
            self._found(f"a frame near number {count - lost[0].overdue + 1} could not be decoded")
            self._due = [due for due in self._due if due.overdue <= _DEEPEST]

    def end(self, count: int) -> None:
        """After the last one of `count` frames."""
        if self._counts and self._first is not None and any(due.time > self._first.time for due in self._due):
            overdue = max(due.overdue for due in self._due)
            self._found(f"a frame near number {count - overdue} could not be decoded")

    def _found(self, fault: str) -> None:
        text = f"{self._name} is damaged: {fault}"
        if self._strict:
            raise ValueError(f"{text}: copy or download it again")
        if not self._has_fault:
            self._has_fault = True
            _log.warning("%s; it is read on, later faults are not named", text)
