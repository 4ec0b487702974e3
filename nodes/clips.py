"""Frames of a node's IMAGE or VIDEO, one at a time: no clip is held a second time."""

from __future__ import annotations

import io as streams
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from comfy_api.latest import InputImpl
from torch import Tensor

from ..gvr_core.video import VideoReader


@dataclass(frozen=True)
class Clip:
    """Frames that can be read once.

    Attributes:
        frames: `h w c` uint8 RGB.
        count: Number of frames, None where only reading tells.
        claimed: Number of frames as far as it is known before, None where nothing is.
        width: Pixels.
        height: As width.
        fps: Frames per second, None for images, which have no rate of their own.
    """

    frames: Iterator[np.ndarray]
    count: int | None
    claimed: int | None
    width: int
    height: int
    fps: Fraction | None


@contextmanager
def open_clip(value: Any, name: str) -> Iterator[Clip]:
    """The clip of the input called `name`, readable inside the block.

    A VIDEO that is a file is decoded while it is read; one that was cut by a node, or made of images, is taken from
    the host as images.

    Raises:
        ValueError: Neither IMAGE nor VIDEO, no frames, or a damaged file.
    """
    if isinstance(value, Tensor):
        yield _clip_of_images(value, name, None)
        return
    if not hasattr(value, "get_components"):
        raise ValueError(f"{name} is a {type(value).__name__}, expected IMAGE or VIDEO: connect one of them")
    if not isinstance(value, InputImpl.VideoFromFile) or _is_cut(value):
        components = value.get_components()
        yield _clip_of_images(components.images, name, Fraction(components.frame_rate))
        return
    source = value.get_stream_source()
    if isinstance(source, str):
        with VideoReader(source) as reader:
            yield _clip_of_file(reader)
        return
    with tempfile.TemporaryDirectory(prefix="gvr-") as folder:
        path = Path(folder) / f"{name}.video"
        _copy(source, path)
        with VideoReader(path) as reader:
            yield _clip_of_file(reader)


def _clip_of_images(images: Tensor, name: str, fps: Fraction | None) -> Clip:
    if images.ndim != 4 or not images.numel():
        raise ValueError(
            f"{name} has the shape {list(images.shape)}, expected frames, height, width and colours, none of them 0"
        )
    count, height, width = images.shape[:3]
    return Clip(_bytes_of(images), count, count, width, height, fps)


def _bytes_of(images: Tensor) -> Iterator[np.ndarray]:
    for image in images:
        colours = image[..., :3].expand(*image.shape[:2], 3)
        yield (colours.float().clamp(0, 1) * 255).round().byte().cpu().contiguous().numpy()


def _clip_of_file(reader: VideoReader) -> Clip:
    # The header's count is a claim only: a cut file decodes to a few frames less.
    info = reader.info
    return Clip(iter(reader), None, info.frames, info.width, info.height, info.fps)


def _is_cut(video: Any) -> bool:
    """Whether a node has set a start or an end, which the file itself does not know of."""
    try:
        with av.open(video.get_stream_source()) as container:
            duration = container.duration
    except av.FFmpegError as error:
        raise ValueError(f"the video cannot be read: {error.strerror}") from error
    return duration is not None and abs(video.get_duration() - duration / av.time_base) > 1e-3


def _copy(source: streams.BytesIO, path: Path) -> None:
    source.seek(0)
    path.write_bytes(source.getbuffer())
