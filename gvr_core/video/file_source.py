"""Frames from a video file, decoded by FFmpeg through PyAV."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from .decoding_faults import DecodingFaults
from .info import DEFAULT_FPS, VideoInfo

# libswscale's SWS_BICUBIC, FULL_CHR_H_INT, FULL_CHR_H_INP and ACCURATE_RND; PyAV names the last three from 18 on only.
# Without them colours are repeated in blocks and rounded down: 3 grey levels of mean error instead of 0.5.
SWSCALE_FLAGS = 0x4 | 0x2000 | 0x4000 | 0x40000

# Matrix codes of H.273, which swscale shares. SMPTE 170M (6) and BT.470BG (5) are both BT.601, BT.2020 has two codes.
BT709, BT601 = 1, 5
_MATRICES = MappingProxyType({1: BT709, 4: 4, 5: BT601, 6: BT601, 7: 7, 9: 9, 10: 9})

_HDR = MappingProxyType({16: "PQ", 18: "HLG"})
"""Transfer codes of H.273."""

_log = logging.getLogger("gvr")


class FileSource:
    """The first picture track of a video file; cover pictures of sound files do not count.

    Args:
        path: of the file.
        strict: see `VideoReader`.
    """

    def __init__(self, path: Path, *, strict: bool = False) -> None:
        self._path, self._strict = path, strict
        with open_container(path) as container:
            stream = video_stream(container, path)
            try:
                first = next(container.decode(stream), None)
            except av.FFmpegError as error:
                raise ValueError(f"{path.name} is not a readable video: {error.strerror}") from error
            if first is None:
                raise ValueError(f"{path.name} has no frames: the picture track is empty")
            height, width = to_rgb(first).shape[:2]
            duration = _duration(container, stream)
            self.info = VideoInfo(
                width=width,
                height=height,
                fps=stream.average_rate or stream.guessed_rate or DEFAULT_FPS,
                frames=stream.frames or None,
                has_audio=bool(container.streams.audio),
                duration=duration,
                pixel_aspect=stream.sample_aspect_ratio or Fraction(1),
                hdr=_HDR.get(int(stream.codec_context.color_trc)),
            )

    def frames(self) -> Generator[np.ndarray, None, None]:
        count, read_until = 0, Fraction(0)
        with open_container(self._path) as container:
            stream = video_stream(container, self._path)
            stream.thread_type = "AUTO"
            start = Fraction(container.start_time or 0, av.time_base)
            faults = DecodingFaults(self._path.name, stream, strict=self._strict)
            try:
                # All tracks are demuxed, because the header's duration is that of the longest one.
                for packet in container.demux():
                    if packet.pts is not None:
                        read_until = max(read_until, (packet.pts + (packet.duration or 0)) * packet.time_base - start)
                    if packet.stream.index != stream.index:
                        continue
                    faults.packet(packet, count)
                    for frame in packet.decode():
                        faults.frame(frame, count)
                        picture = to_rgb(frame)
                        self._check_size(picture, count)
                        yield picture
                        count += 1
            except av.FFmpegError as error:
                raise ValueError(
                    f"{self._path.name} is damaged: {count} frames could be read, then: {error.strerror}"
                ) from error
            self._check_complete(count, read_until, container.duration)
            faults.end(count)

    def _check_size(self, picture: np.ndarray, count: int) -> None:
        height, width = picture.shape[:2]
        if (width, height) != (self.info.width, self.info.height):
            raise ValueError(
                f"{self._path.name} changes from {self.info.width}x{self.info.height} to {width}x{height} at frame "
                f"{count}: all frames of a clip need one size"
            )

    def _check_complete(self, count: int, read_until: Fraction, duration: int | None) -> None:
        """A file cut short ends like a whole one, so what was read is held against what the header promises.

        A tenth is allowed for: clips trimmed without encoding list frames that are never shown, and the durations of
        some writers are rough.
        """
        promised = self.info.frames
        if promised is not None and self.info.duration is not None:
            promised = min(promised, round(self.info.duration * self.info.fps))
        seconds = Fraction(duration or 0, av.time_base)
        few_frames = promised is not None and count < 0.9 * promised
        short = seconds - read_until > max(Fraction(1, 2), seconds / 10)
        if few_frames or short:
            claim = f"{promised} frames" if few_frames else f"{float(seconds):.1f} seconds"
            raise ValueError(
                f"{self._path.name} is cut short: {count} frames could be read, its header promises {claim}: "
                "copy or download it again"
            )
        if promised is not None and count < promised:
            _log.warning("%s: %d frames read, its header promises %d", self._path.name, count, promised)


@contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """An opened media file.

    Raises:
        ValueError: FFmpeg does not know the format.
    """
    try:
        container = av.open(str(path.absolute()))
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"{path.name} is not a readable video: {error.strerror}") from error
    with container:
        yield container


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first track of moving pictures.

    Raises:
        ValueError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise ValueError(f"{path.name} has no picture track: give a video or a folder of frames")


def to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """A decoded frame as it is meant to be seen, `h w c` uint8 RGB.

    Untagged YUV is taken as BT.601 at every size, because that is what FFmpeg's tools and ComfyUI write untagged.
    Rotations by multiples of 90 degrees are applied, alpha is dropped, HDR is not tone-mapped.
    """
    is_full = frame.format.is_rgb or frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG
    rgb = frame.reformat(
        format="rgb24",
        interpolation=SWSCALE_FLAGS,
        src_colorspace=_MATRICES.get(frame.colorspace, BT601),
        src_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    ).to_ndarray()
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarters)) if quarters else rgb


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None
