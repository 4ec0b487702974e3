"""A video file as the target of a writer, encoded by FFmpeg through PyAV."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from .audio import AudioTrack, open_audio
from .file_source import BT709, SWSCALE_FLAGS


@dataclass(frozen=True, kw_only=True)
class VideoFormat:
    """What goes into a kind of file.

    Attributes:
        video_codec: FFmpeg's name of the encoder.
        options: Its options besides crf.
        audio_codec: Encoder for sound that cannot be copied.
        copied_audio: Codecs that players expect in this kind of file, copied as they are.
    """

    video_codec: str
    options: MappingProxyType[str, str]
    audio_codec: str
    copied_audio: frozenset[str]


_H264 = MappingProxyType({"preset": "medium"})
_VP9 = MappingProxyType({"b": "0", "deadline": "good", "cpu-used": "2", "row-mt": "1"})  # b=0: crf alone decides

VIDEO_FORMATS = MappingProxyType(
    {
        ".mp4": VideoFormat(
            video_codec="libx264",
            options=_H264,
            audio_codec="aac",
            copied_audio=frozenset({"aac", "mp3", "ac3", "eac3", "alac"}),
        ),
        ".mkv": VideoFormat(
            video_codec="libx264",
            options=_H264,
            audio_codec="aac",
            copied_audio=frozenset({"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus", "vorbis", "pcm_s16le"}),
        ),
        ".mov": VideoFormat(
            video_codec="libx264",
            options=_H264,
            audio_codec="aac",
            copied_audio=frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"}),
        ),
        ".webm": VideoFormat(
            video_codec="libvpx-vp9",
            options=_VP9,
            audio_codec="libopus",
            copied_audio=frozenset({"opus", "vorbis"}),
        ),
    }
)


class VideoTarget:
    """Encodes into a hidden file beside the target and renames it at the end.

    Args:
        path: Target with a suffix of `VIDEO_FORMATS`.
        width: Pixels.
        height: Pixels.
        fps: Frames per second.
        audio_from: Source of sound, or None.
        crf: The encoder's constant rate factor.
    """

    def __init__(
        self, path: Path, *, width: int, height: int, fps: Fraction, audio_from: Path | None, crf: int
    ) -> None:
        self._path = path.absolute()
        self._temporary = self._path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
        self._format = VIDEO_FORMATS[path.suffix.lower()]
        self._size = (width, height)
        self._fps = fps
        self._audio_from = audio_from
        self._crf = crf
        self._count = 0
        self._container: OutputContainer | None = None
        self._stream: VideoStream
        self._audio: AudioTrack | None = None

    def open(self) -> None:
        options = {"movflags": "+faststart"} if self._path.suffix.lower() in (".mp4", ".mov") else {}
        self._container = av.open(str(self._temporary), "w", options=options)
        stream = self._container.add_stream(
            self._format.video_codec, rate=self._fps, options={**self._format.options, "crf": str(self._crf)}
        )
        stream.width, stream.height = self._size
        # 4:2:0 stores colour for blocks of 2x2 pixels and needs even sides.
        stream.pix_fmt = "yuv444p" if any(side % 2 for side in self._size) else "yuv420p"
        context = stream.codec_context
        # BT.709 has the same code as primaries, as transfer curve and as matrix.
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = ColorRange.MPEG
        self._stream = stream
        if self._audio_from is not None:
            self._audio = open_audio(
                self._audio_from,
                self._container,
                copied=self._format.copied_audio,
                codec=self._format.audio_codec,
            )

    def write(self, frame: np.ndarray) -> None:
        """Appends a frame, `h w c` uint8 RGB."""
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(
            format=self._stream.pix_fmt,
            interpolation=SWSCALE_FLAGS,
            src_color_range=ColorRange.JPEG,
            dst_colorspace=BT709,
            dst_color_range=ColorRange.MPEG,
        )
        picture.pts = self._count
        picture.time_base = 1 / self._fps
        self._container.mux(self._stream.encode(picture))
        self._count += 1
        if self._audio is not None:
            self._audio.write_until(self._count / self._fps)

    def finish(self) -> None:
        """Ends the streams and puts the file in place."""
        self._container.mux(self._stream.encode(None))
        if self._audio is not None:
            self._audio.finish()
        self._container.close()
        self._temporary.replace(self._path)

    def abort(self) -> None:
        """Leaves no trace; may be called at any time."""
        if self._audio is not None:
            self._audio.close()
        if self._container is not None:
            # The trailer of a file that is thrown away may fail, on a full disk.
            with suppress(av.FFmpegError, OSError):
                self._container.close()
        self._temporary.unlink(missing_ok=True)
