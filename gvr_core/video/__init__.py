"""Read and write video as `t h w c` uint8 RGB arrays, streamed: no function here holds a whole clip in memory.

A source is a video file, an animation (webp, gif), a picture or a folder of pictures; a target is a video file or a
folder of PNG frames. Every mistake of the caller and every damaged file is a `ValueError` of one sentence.
"""

from .decoding_faults import InterlacedError
from .info import DEFAULT_FPS, VideoInfo
from .reading import VideoReader, probe
from .writing import VIDEO_SUFFIXES, VideoWriter, check_writable

__all__ = [
    "DEFAULT_FPS",
    "VIDEO_SUFFIXES",
    "InterlacedError",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "check_writable",
    "probe",
]
