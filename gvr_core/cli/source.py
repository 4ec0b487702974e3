"""What is to be enlarged, as a latent: a video or pictures that are encoded while they are read, or a latent file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..coding import VideoVAE, chunk_frames, decode_frames, encode_frames
from ..geometry import LatentSpace, round_up
from ..latent_files import LATENT_SUFFIXES, read_latent
from ..latent_values import normalize, scale_warning
from ..video import DEFAULT_FPS, VideoReader, probe
from .progress import Progress

log = logging.getLogger("gvr")


class Source(Protocol):
    """Something that becomes a low-resolution latent.

    Attributes:
        height: rows in pixels.
        width: columns in pixels.
        fps: frames per second.
        frames: exact number of frames; known after `encode`.
        audio: file whose sound belongs to it, or None.
    """

    height: int
    width: int
    fps: Fraction
    frames: int
    audio: Path | None

    def encode(self, progress: Progress) -> Tensor:
        """The latent `1 c t h w`, normalised."""

    def frame(self, index: int) -> np.ndarray:
        """Frame `index` as pixels, uint8 `h w 3`."""


def is_latent(path: Path) -> bool:
    """True for the names of latent files."""
    return path.suffix.lower() in LATENT_SUFFIXES


def open_source(
    path: Path, space: LatentSpace, *, vae: VideoVAE | None, device: torch.device, fps: Fraction | None
) -> Source:
    """The source at `path`.

    Args:
        path: video, folder of pictures or latent file.
        space: the cascade's latent space.
        vae: to encode and decode, on normalised latents; None only for latent files.
        device: where to encode.
        fps: frames per second where the file does not say.

    Raises:
        ValueError: it cannot be read, or its latent is of another space.
    """
    if is_latent(path):
        return LatentSource(path, space, vae=vae, device=device, fps=fps)
    return VideoSource(path, space, vae=vae, device=device, fps=fps)


class VideoSource:
    """See `Source`."""

    def __init__(
        self, path: Path, space: LatentSpace, *, vae: VideoVAE, device: torch.device, fps: Fraction | None
    ) -> None:
        info = probe(path)
        self.path, self.space, self.vae, self.device = path, space, vae, device
        self.height, self.width = info.height, info.width
        self.fps = fps if fps and path.is_dir() else info.fps
        self.audio = path if info.has_audio else None
        # Not every header counts its frames; for the time that is left the length will do.
        self.expected = info.frames or (round(info.duration * info.fps) if info.duration else None)
        self.frames = 0

    def encode(self, progress: Progress) -> Tensor:
        progress.phase("encode", self.expected, "frame")
        cells = [round_up(n, self.space.spatial) // self.space.spatial for n in (self.height, self.width)]
        size = chunk_frames(*cells) * self.space.temporal

        def chunks(reader: VideoReader) -> Iterator[np.ndarray]:
            for chunk in reader.read_chunks(size):
                yield chunk
                progress.advance(len(chunk))

        with VideoReader(self.path) as reader:
            latent, self.frames = encode_frames(self.vae, chunks(reader), self.space, self.device)
        return latent

    def frame(self, index: int) -> np.ndarray:
        with VideoReader(self.path) as reader:
            for number, frame in enumerate(reader):
                if number == index:
                    return frame
        raise ValueError(f"{self.path} has no frame {index}")


class LatentSource:
    """See `Source`."""

    def __init__(
        self, path: Path, space: LatentSpace, *, vae: VideoVAE | None, device: torch.device, fps: Fraction | None
    ) -> None:
        file = read_latent(path)
        if file.space not in (None, space.name):
            raise ValueError(
                f"{path} is a latent of {file.space}, this cascade works in {space.name}: use one for {file.space}"
            )
        if file.latent.shape[1] != space.channels:
            raise ValueError(
                f"{path} has {file.latent.shape[1]} latent channels, this cascade works in {space.name} with "
                f"{space.channels}: use a cascade made for the model the latent comes from"
            )
        warning = None if file.space else scale_warning(file.latent, space.name)
        if warning:
            log.warning("%s: %s", path, warning)
        rows, columns = file.latent.shape[-2:]
        self.latent, self.vae, self.device = normalize(file.latent, space.name), vae, device
        self.height = file.height or rows * space.spatial
        self.width = file.width or columns * space.spatial
        self.fps = file.fps or fps or DEFAULT_FPS
        self.frames = file.frames or space.video_frames(file.latent.shape[2])
        self.audio = None
        cells = (file.latent.shape[2], rows, columns)
        least = (space.latent_frames(self.frames), *(-(-n // space.spatial) for n in (self.height, self.width)))
        if cells[0] != least[0] or any(has < needs for has, needs in zip(cells, least, strict=True)):
            raise ValueError(
                f"{path} says {self.frames} frames of {self.width} x {self.height} but its latent is {cells} (t h w), "
                f"expected {least}: it is damaged"
            )

    def encode(self, progress: Progress) -> Tensor:
        return self.latent.to(self.device)

    def frame(self, index: int) -> np.ndarray:
        latent = self.latent.to(self.device)
        pieces = decode_frames(self.vae, latent, frames=self.frames, height=self.height, width=self.width)
        for piece in pieces:
            if index < len(piece):
                return piece[index]
            index -= len(piece)
        raise ValueError("the latent has fewer frames than it says")
