"""ID pictures and a reference video of the command line, as clean latents on the target's grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..cascade import Cascade
from ..coding import encode_frames
from ..geometry import UpscalePlan
from ..references import ReferenceRanges, fit_reference, time_indices
from ..video import VideoReader, probe


@dataclass(frozen=True, eq=False)
class References:
    """Encoded references, pictures before video.

    Attributes:
        latents: `1 c r h w`, None without references.
        pictures: how many of the r frames are pictures.
        ranges: of the checkpoint.
    """

    latents: Tensor | None
    pictures: int
    ranges: ReferenceRanges

    def times(self, target_frames: int) -> list[int]:
        """RoPE time index of each reference frame beside a target of `target_frames` latent frames."""
        if self.latents is None:
            return []
        return time_indices(target_frames, self.pictures, self.latents.shape[2] - self.pictures, self.ranges)[1]


def encode_references(cascade: Cascade, pictures: Sequence[Path], video: Path | None, plan: UpscalePlan) -> References:
    """Read, fit and encode the references.

    Raises:
        ValueError: a file that cannot be read, a video in the place of a picture, too many or too long ones.
    """
    ranges = cascade.dit.config.reference_ranges
    space = cascade.space
    for path in pictures:
        if probe(path).frames != 1 or path.is_dir():
            raise ValueError(f"reference {path} is not a picture: give videos with --reference-video")
    if not pictures and video is None:
        return References(None, 0, ranges)
    if cascade.vae is None:
        raise ValueError("this checkpoint has no VAE inside: references cannot be encoded here, use ComfyUI")
    frames = 0 if video is None else _count_frames(video, most=space.temporal * ranges.max_video + 1)
    # Its errors, before any work.
    time_indices(1, len(pictures), space.latent_frames(frames) if frames else 0, ranges)
    files = [*pictures, video] if frames else pictures
    latents = [encode_frames(cascade.vae, _fitted(path, plan), space, cascade.device)[0] for path in files]
    return References(torch.cat(latents, dim=2), len(pictures), ranges)


def _count_frames(path: Path, *, most: int) -> int:
    """Frames of a video, at most `most`; headers do not always tell."""
    with VideoReader(path) as reader:
        return sum(1 for _ in islice(reader, most))


def _fitted(path: Path, plan: UpscalePlan) -> Iterator[np.ndarray]:
    """A file on the target's padded canvas, one frame at a time, uint8 `1 h w 3`."""
    with VideoReader(path) as reader:
        for frame in reader:
            pixels = rearrange(torch.from_numpy(np.ascontiguousarray(frame)), "h w c -> c h w").float()
            fitted = fit_reference(pixels, plan.padded_height, plan.padded_width)
            yield rearrange(fitted.round().to(torch.uint8), "c h w -> 1 h w c").numpy()
