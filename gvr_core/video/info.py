"""What is known of a video before its frames are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

DEFAULT_FPS = Fraction(24)
"""Frames per second of sources that carry no rate: pictures and folders of pictures (ours)."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Size, rate and length of a video as it will be shown.

    Attributes:
        width: Pixels of a frame as it is read, that is after the rotation that phones store beside the pixels.
        height: As width.
        fps: Average frames per second. A clip of variable frame rate keeps its number of frames and its average rate;
            the single frames' times are not kept. `DEFAULT_FPS` for pictures.
        frames: Number of frames, or None where only decoding tells (mkv, webm, gif). For a video file this is the
            header's claim; a cut clip can decode to a few frames less.
        has_audio: True where the source has a sound track.
        duration: Seconds, or None where unknown.
        pixel_aspect: Width of a pixel in heights, as it is stored: 1 for square ones. Frames are not stretched by it.
        hdr: "PQ" or "HLG" where the values are those of a bright screen; frames are not tone-mapped. None otherwise.
    """

    width: int
    height: int
    fps: Fraction
    frames: int | None
    has_audio: bool
    duration: float | None
    pixel_aspect: Fraction = Fraction(1)
    hdr: str | None = None
