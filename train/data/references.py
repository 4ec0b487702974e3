"""References of a sample that is cut from a clip: pictures of the same place at other times, and the clip itself.

U takes a frame that does not overlap with the target, cuts the subject out with a segmenter and augments it (A.2, Table
3). Without a segmenter a cut-out is a box at a random place of the sample (ours); a share shows the whole place.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gvr_core.degradations.reference_augment import augment_reference, shift_start
from gvr_core.references import fit_reference

from ..fit_config import ReferenceConfig

LEAST_BOX, MOST_BOX = 0.4, 0.9
"""Sides of a cut-out as shares of the sample's side."""
REFERENCES = 2 * 2**32
"""Key of the references' randomness, apart from that of samples and groups."""


def reference_pictures(
    clip: np.ndarray,
    *,
    top: int,
    left: int,
    side: int,
    count: int,
    config: ReferenceConfig,
    seed: int,
    k: int,
) -> Tensor:
    """The ID pictures of sample k.

    Args:
        clip: frames, uint8 `t h w 3`.
        top: first row of the sample in pixels.
        left: first column.
        side: of the sample in pixels.
        count: pictures.
        config: what to draw from.
        seed: of the run.
        k: number of the sample.

    Returns:
        uint8 `n 3 side side`, each augmented and zero-padded to the sample's size (U 3.2).
    """
    random = np.random.default_rng([seed, REFERENCES, k])
    pictures = []
    for number in range(count):
        frame = clip[int(random.integers(len(clip)))]
        height = width = side
        if random.random() >= config.whole:
            height, width = (round(side * share) for share in random.uniform(LEAST_BOX, MOST_BOX, 2))
        y = top + int(random.integers(side - height + 1))
        x = left + int(random.integers(side - width + 1))
        picture = np.ascontiguousarray(frame[y : y + height, x : x + width])
        picture = augment_reference(picture, config.augment, seed=seed, clip_id=f"sample {k}", number=number).picture
        padded = fit_reference(torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32)), side, side)
        pictures.append(padded.round().clamp(0, 255).to(torch.uint8))
    return torch.stack(pictures)


def reference_video(
    clip: np.ndarray,
    *,
    start: int,
    frames: int,
    top: int,
    left: int,
    side: int,
    config: ReferenceConfig,
    seed: int,
    k: int,
) -> Tensor:
    """The reference video of sample k: the clip at the sample's place, begun a little earlier or later (U 3.4).

    Args are those of `reference_pictures`, and the sample's first frame and number of frames.

    Returns:
        uint8 `3 frames side side`.
    """
    begin = shift_start(
        config.augment, start=start, frames=frames, clip_frames=len(clip), seed=seed, clip_id=f"sample {k}"
    )
    video = clip[begin : begin + frames, top : top + side, left : left + side]
    return torch.from_numpy(np.ascontiguousarray(video.transpose(3, 0, 1, 2)))
