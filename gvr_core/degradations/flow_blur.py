"""Block-wise motion blur along the optical flow (S 4.2.1), without seams.

Every block of the frame has one kernel: a line along its mean motion, whose length and weight grow with it. Between
the centres of blocks the kernels are interpolated, so that there is no edge to see: a filter whose line turns and
stretches smoothly over the frame ("ours"; S mixes blocks by weights it does not give). It is applied three taps at a
time: three taps a ninth of the line apart, then three of those a third apart, are nine even ones.
"""

from __future__ import annotations

import cv2
import numpy as np

from .config import FlowDegradation
from .optical_flow import Motion
from .workspace import Workspace

_MOST_LEVELS = 3
_SPACING = 1.5
"""Pixels between taps that are still taken for a line."""


def block_motion(motion: Motion, block: float) -> np.ndarray:
    """Mean flow of what moves in each block, interpolated to every pixel of the map.

    Args:
        motion: From one frame to the one before.
        block: Side of a block, pixels of the map.

    Returns:
        `h w 2` float32 on the map, in pixels of the frame; 0 further than a block from anything that moves.
    """
    height, width = motion.moving.shape
    cells = tuple(max(1, round(n / block)) for n in (width, height))
    weight = motion.moving.astype(np.float32)
    sums = cv2.resize(motion.flow * weight[..., None], cells, interpolation=cv2.INTER_AREA)
    shares = cv2.resize(weight, cells, interpolation=cv2.INTER_AREA)
    sums, shares = (cv2.resize(values, (width, height)) for values in (sums, shares))
    return sums / np.maximum(shares, 1e-6)[..., None]


def blur_lines(motion: np.ndarray, config: FlowDegradation, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The line and the weight of the blur at every pixel.

    Args:
        motion: `h w 2` float32 from `block_motion`.
        config: Blur, its longest length and the full motion.
        scale: Pixels of the frame for a pixel in the config.

    Returns:
        `h w 2` float32, the line from its one end to the other in pixels, and `h w` float32 from 0 to 1.
    """
    speed = cv2.magnitude(motion[..., 0], motion[..., 1])
    length = np.minimum(speed * config.blur, config.longest_blur * scale)
    lines = motion * (length / np.maximum(speed, 1e-6))[..., None]
    return lines, np.minimum(speed / (config.full_motion * scale), 1)


def line_blur(picture: np.ndarray, lines: np.ndarray, workspace: Workspace | None = None) -> np.ndarray:
    """Every pixel replaced by the mean along its line.

    Args:
        picture: `h w c` float32. Beyond its edges the edge is repeated.
        lines: `h w 2` float32, pixels; centred on the pixel.
        workspace: where the result lies; None for memory of its own.

    Returns:
        `h w c` float32, valid until the workspace is used again.
    """
    workspace = workspace or Workspace()
    array = workspace.array
    height, width = lines.shape[:2]
    step_x, step_y = array("step_x", height, width), array("step_y", height, width)
    cv2.split(lines, [step_x, step_y])
    tap_x, tap_y = array("tap_x", height, width), array("tap_y", height, width)
    longest = float(cv2.magnitude(step_x, step_y, magnitude=tap_x).max(initial=0))
    levels = next((n for n in range(1, _MOST_LEVELS) if 3**n * _SPACING >= longest), _MOST_LEVELS)
    x, y = workspace.grid(height, width)
    tap = array("tap", *picture.shape)
    source, total, spare = picture, array("blurred", *picture.shape), array("spare", *picture.shape)
    for level in range(levels):
        for sign in (1, -1):
            share = sign * 3.0 ** (level - levels)
            cv2.scaleAdd(step_x, share, x, dst=tap_x)
            cv2.scaleAdd(step_y, share, y, dst=tap_y)
            cv2.remap(source, tap_x, tap_y, cv2.INTER_LINEAR, dst=tap, borderMode=cv2.BORDER_REPLICATE)
            np.add(source if sign == 1 else total, tap, out=total)
        source, total, spare = total, spare, total
    source *= np.float32(3.0**-levels)
    return source
