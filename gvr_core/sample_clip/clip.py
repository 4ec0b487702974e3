"""A rendered clip for demonstrations and tests: a bakery's front in a slow camera move.

It has what an upscaler meets in real footage: bricks, wood, leaves and cobbles, lettering, thin wires, louvres near
the resolution limit, parallax, and things that move and turn. It is free of rights, needs no file, and is the same on
every machine but for rounding in OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .scene import SampleScene


def render_sample_clip(
    *, frames: int = 33, height: int = 512, width: int = 512, seed: int = 0, start: int = 0
) -> Iterator[np.ndarray]:
    """Frames `h w c`, uint8 RGB, one at a time; meant for 24 frames per second.

    Frame `n` depends on height, width, seed and `start + n` alone, so any part of a clip can be rendered by itself.

    Args:
        frames: How many.
        height: Pixels, 16 to 4096.
        width: Pixels, 16 to 4096.
        seed: Decides textures, leaves and colours; the layout stays.
        start: Number of the first frame.

    Raises:
        ValueError: no frames, a negative start or a size out of range.
    """
    if frames < 1 or start < 0:
        raise ValueError(f"cannot render {frames} frames from frame {start}: give at least 1 frame and a start of 0 on")
    if not (16 <= height <= 4096 and 16 <= width <= 4096):
        raise ValueError(f"cannot render {width}x{height} pixels: both sides must be 16 to 4096")
    return _frames(frames, SampleScene(height=height, width=width, seed=seed), start)


def _frames(frames: int, scene: SampleScene, start: int) -> Iterator[np.ndarray]:
    for index in range(start, start + frames):
        yield scene.render(index)
