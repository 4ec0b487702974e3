"""What compression leaves of a clip: JPEG frame by frame, H.264 as one stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
from av.codec.context import ThreadType
from av.video.reformatter import ColorRange

from ..video.file_source import BT709, SWSCALE_FLAGS, to_rgb

# One thread, because the number of threads changes the result, and with it the machine. Without cpu-independent x264
# takes shortcuts that depend on where a buffer happens to lie in memory: two runs then differ in a few frames.
_X264 = "threads=1:lookahead-threads=1:sync-lookahead=0:cpu-independent=1:rc-lookahead=16"
_RATE = Fraction(24)


def through_jpeg(frames: Iterable[np.ndarray], quality: int) -> Iterator[np.ndarray]:
    """Frames `h w 3` uint8 RGB after JPEG with 4:2:0 colours; `quality` is 1 (worst) to 100."""
    for frame in frames:
        # Encoding to memory and decoding it again cannot fail for a picture.
        _, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        yield cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def through_h264(frames: Iterable[np.ndarray], crf: int) -> Iterator[np.ndarray]:
    """A clip after one H.264 encoder and decoder, 4:2:0, with the B frames and the look-ahead of real files.

    About 20 frames are on their way at any time, however long the clip is. The result is the same in every run.

    Args:
        frames: `h w 3` uint8 RGB, all of one size.
        crf: constant rate factor, 0 (best) to 51.

    Returns:
        As many frames as came in, in the same order.

    Raises:
        ValueError: PyAV was built without the encoder libx264.
    """
    encoder = decoder = None
    height = width = count = 0
    for index, frame in enumerate(frames):
        if encoder is None:
            height, width = frame.shape[:2]
            encoder, decoder = _codecs(height, width, crf)
        for packet in encoder.encode(_yuv(frame, index)):
            for decoded in decoder.decode(packet):
                count += 1
                yield np.ascontiguousarray(to_rgb(decoded)[:height, :width])
    if encoder is None:
        return
    for packet in (*encoder.encode(None), None):  # None at the end makes the decoder give up what it still holds
        for decoded in decoder.decode(packet):
            count += 1
            yield np.ascontiguousarray(to_rgb(decoded)[:height, :width])
    if count != index + 1:
        raise RuntimeError(f"H.264 gave back {count} of {index + 1} frames: the pairs would no longer match")


def _codecs(height: int, width: int, crf: int) -> tuple[av.VideoCodecContext, av.VideoCodecContext]:
    try:
        encoder = av.CodecContext.create("libx264", "w")
    except av.codec.codec.UnknownCodecError as error:
        raise ValueError(
            "this PyAV has no libx264 encoder, which H.264 compression needs: install PyAV's own wheel, or use "
            "compression=jpeg"
        ) from error
    # 4:2:0 stores colour for blocks of 2x2 pixels and needs even sides.
    encoder.width, encoder.height = width + width % 2, height + height % 2
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", 1 / _RATE, _RATE
    encoder.color_primaries = encoder.color_trc = encoder.colorspace = BT709
    encoder.color_range = ColorRange.MPEG
    encoder.options = {"preset": "medium", "crf": str(crf), "x264-params": _X264}
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count, decoder.thread_type = 1, ThreadType.NONE  # frame threads would hold back more frames
    return encoder, decoder


def _yuv(frame: np.ndarray, index: int) -> av.VideoFrame:
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(
        format="yuv420p",
        interpolation=SWSCALE_FLAGS,
        src_color_range=ColorRange.JPEG,
        dst_colorspace=BT709,
        dst_color_range=ColorRange.MPEG,
    )
    picture.pts, picture.time_base = index, 1 / _RATE
    return picture
