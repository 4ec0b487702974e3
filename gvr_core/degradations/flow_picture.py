"""Optical flow as colours: the wheel of the Middlebury benchmark, as every paper on flow shows it.

Baker et al., "A Database and Evaluation Methodology for Optical Flow", 2007. The hue tells the direction, white is no
motion, a full colour is the longest motion of the picture.
"""

from __future__ import annotations

import cv2
import numpy as np

_ARCS = (("red", 15), ("yellow", 6), ("green", 4), ("cyan", 11), ("blue", 13), ("magenta", 6))
"""Colours where an arc of the wheel begins, with its number of steps, chosen by the authors by perception."""
_RGB = {
    "red": (255, 0, 0),
    "yellow": (255, 255, 0),
    "green": (0, 255, 0),
    "cyan": (0, 255, 255),
    "blue": (0, 0, 255),
    "magenta": (255, 0, 255),
}
_FINE = 64
"""Colours for each step of the wheel: neighbours differ by less than 1 of 255, but in the short arcs."""


FULL_COLOUR = 16.0
"""Motion shown in full colour in videos of the flow, pixels per frame where the short side has 512."""


def colour_wheel() -> np.ndarray:
    """The wheel's 55 colours, `n 3` float32 in 0 to 255, from red through yellow, green, cyan, blue and magenta."""
    parts = []
    for number, (name, steps) in enumerate(_ARCS):
        start, end = (np.array(_RGB[n], np.float32) for n in (name, _ARCS[(number + 1) % len(_ARCS)][0]))
        share = np.arange(steps, dtype=np.float32)[:, None] / steps
        # Whole steps, as in the authors' code.
        parts.append(start + np.sign(end - start) * np.floor(255 * share))
    return np.concatenate(parts).astype(np.float32)


def flow_picture(flow: np.ndarray, *, longest: float | None = None) -> np.ndarray:
    """Flow as a picture, `h w 3` uint8 RGB.

    What goes to the right is red, downwards yellow, to the left cyan-blue, upwards violet. For the motion that led to
    a frame give the negative of `Degraded.flow`, which points back.

    Args:
        flow: `h w 2`, (x, y) in pixels, y downwards.
        longest: Motion that is shown in full colour, longer ones are darker; the longest of this flow when None.
            Give one number for all frames of a video.

    Raises:
        ValueError: another shape, or `longest` not above 0.
    """
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(f"flow has shape {flow.shape}, expected `h w 2`")
    if longest is not None and not longest > 0:
        raise ValueError(f"longest motion is {longest}, expected pixels above 0")
    x, y = (np.ascontiguousarray(flow[..., axis], np.float32) for axis in (0, 1))
    radius, angle = cv2.cartToPolar(x, y)
    # Where nothing moves any scale will do.
    radius /= longest or float(radius.max(initial=0)) or 1.0
    colours = _fine_wheel()
    colour = colours[(angle * (len(colours) / (2 * np.pi))).astype(np.int32) % len(colours)]
    inside = radius <= 1
    weight = np.where(inside, radius, 0.75)[..., None]
    base = np.where(inside, 255 - 255 * radius, 0)[..., None]
    return (base + weight * colour).astype(np.uint8)


def _fine_wheel() -> np.ndarray:
    """The wheel interpolated, so that a picture is a look-up; the authors leave out its last step."""
    wheel = colour_wheel()
    steps = len(wheel) - 1
    place = np.arange(steps * _FINE, dtype=np.float32) / _FINE
    return np.stack([np.interp(place, np.arange(len(wheel)), wheel[:, c]) for c in range(3)], 1).astype(np.float32)
