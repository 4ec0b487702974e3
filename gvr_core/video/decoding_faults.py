"""What FFmpeg keeps quiet about: damage that it conceals, frames that it leaves out, fields instead of frames."""

from __future__ import annotations

import logging

import av
from av.video.stream import VideoStream

_ONE_FRAME_A_PACKET = frozenset({"h264", "hevc", "av1"})
"""Codecs whose packets hold a frame each that is shown at the packet's time. VP8 and VP9 have packets without one."""

_log = logging.getLogger("gvr")


class InterlacedError(ValueError):
    """Frames are woven from two moments; the message names the first one."""


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
        self._index = stream.index
        self._counts = stream.codec_context.codec.canonical_name in _ONE_FRAME_A_PACKET
        self._due: set[int] = set()
        self._first_time: int | None = None
        self._has_fault = False

    def packet(self, packet: av.Packet, count: int) -> None:
        """Before it is decoded; `count` frames were shown so far."""
        if packet.is_corrupt:
            self._found(f"bytes are missing near frame {count}")
        if not packet.size:  # the end
            return
        if packet.pts is None:
            self._counts = False
        elif not packet.is_discard:
            self._due.add(packet.pts)

    def frame(self, frame: av.VideoFrame, count: int) -> None:
        """Frame number `count` as it will be shown."""
        if self._strict and frame.interlaced_frame:
            raise InterlacedError(f"{self._name} is interlaced at frame {count}: deinterlace it, or leave it out")
        if frame.is_corrupt:
            self._found(f"frame {count} is damaged, FFmpeg filled it up with other pixels")
        if not self._counts or frame.pts is None:
            return
        if self._first_time is None:
            self._first_time = frame.pts
        # A clip that was cut without encoding may begin with frames whose references were cut off.
        self._due = {time for time in self._due if time >= self._first_time}
        self._due.discard(frame.pts)
        if any(time < frame.pts for time in self._due):
            self._found(f"frame {count} could not be decoded")
            self._due = {time for time in self._due if time > frame.pts}

    def end(self, count: int) -> None:
        """After the last one of `count` frames."""
        if self._counts and self._first_time is not None and any(time > self._first_time for time in self._due):
            self._found(f"frame {count} could not be decoded")

    def _found(self, fault: str) -> None:
        text = f"{self._name} is damaged: {fault}"
        if self._strict:
            raise ValueError(f"{text}: copy or download it again")
        if not self._has_fault:
            self._has_fault = True
            _log.warning("%s; it is read on, later faults are not named", text)
