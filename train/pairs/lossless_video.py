"""Frames as the bytes of a lossless .mp4 and back: H.264 in RGB, a fourth of the size of PNG and ten times as fast.

One thread and no times or versions in the container, so the same frames give the same bytes on every run.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

_OPTIONS = {"qp": "0", "preset": "ultrafast"}  # qp 0 is lossless; slower presets save a tenth of the size


class LosslessWriter:
    """Encodes frames as they come; `finish` gives the file."""

    def __init__(self, *, width: int, height: int, fps: Fraction) -> None:
        self._file = io.BytesIO()
        self._container = av.open(self._file, "w", format="mp4", options={"fflags": "+bitexact"})
        # Rates of damaged headers (0, a million) would be refused by the encoder.
        rate = min(max(Fraction(fps), Fraction(1)), Fraction(1000)).limit_denominator(1001)
        self._stream = self._container.add_stream("libx264rgb", rate=rate, options=_OPTIONS)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "rgb24"
        self._stream.codec_context.thread_count = 1
        self.frames = 0

    def write(self, frame: np.ndarray) -> None:
        """Append a frame, `h w 3` uint8 RGB."""
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts = self.frames
        self._container.mux(self._stream.encode(picture))
        self.frames += 1

    def finish(self) -> bytes:
        """The file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._file.getvalue()


def read_lossless(data: bytes) -> Iterator[np.ndarray]:
    """The frames that were written, `h w 3` uint8 RGB, one after the other."""
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")
