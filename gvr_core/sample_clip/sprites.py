"""The moving things of the sample clip: a ball, a pinwheel, a hanging sign, a balloon, falling leaves.

Each is a square `h w 4` float32 picture in [0, 255] with its colour already multiplied by its coverage, so that it can
be resampled and laid over others without fringes. It turns about its centre.
"""

from __future__ import annotations

import numpy as np

from .street import Brush, circle
from .textures import Colour, draw_leaves, fractal_noise, wood


def paint_ball(unit: float, rng: np.random.Generator) -> np.ndarray:
    """A striped ball of 10 units with a fine checked belt."""
    side, brush = _canvas(12, unit)
    for number in range(8):
        colour = ((226, 70, 56), (246, 240, 226), (48, 108, 176), (246, 196, 70))[number % 4]
        angles = np.linspace(number, number + 1, 7) * np.pi / 4
        brush.polygon(5 * np.concatenate([[[0, 0]], np.stack([np.cos(angles), np.sin(angles)], 1)]), colour)
    for number in range(48):
        angles = np.linspace(number, number + 1, 3) * np.pi / 24
        ring = np.stack([np.cos(angles), np.sin(angles)], 1)
        brush.polygon(np.concatenate([2.7 * ring, 3.4 * ring[::-1]]), (34, 38, 48) if number % 2 else (250, 250, 246))
    brush.polygon(0.8 * circle(24), (246, 240, 226))
    grain = fractal_noise(side, side, cell=(3, 3), octaves=1, rng=rng)[..., None] - 0.5
    picture = np.clip(brush.canvas + 24 * grain, 0, 255)
    return _cut_out(picture, 5 * circle(64), unit)


def paint_shadow(unit: float) -> np.ndarray:
    """The ball's soft shadow on the ground: black, three tenths as high as wide."""
    side, _ = _canvas(18, unit)
    y, x = (np.mgrid[0:side, 0:side].astype(np.float32) + 0.5 - side / 2) / unit
    # The window brings the bell to 0 at the picture's border.
    alpha = 150 * np.exp(-((x / 5.2) ** 2) - (y / 1.5) ** 2) * np.clip(9 - np.abs(x), 0, 1)
    return np.concatenate([np.zeros((side, side, 3), np.float32), alpha[..., None]], 2)


def paint_pinwheel(unit: float) -> np.ndarray:
    """A toy windmill of 11 units: six folded sails with fine stripes."""
    side, brush = _canvas(12, unit)
    mask = np.zeros((side, side), np.uint8)
    cover = Brush(mask, unit, (side / 2, side / 2))
    for number in range(6):
        angle = number * np.pi / 3
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        sail = np.array([(0.0, 0.0), (5.4, -0.2), (4.6, 2.2), (2.4, 2.0)]) @ turn
        colour = ((236, 92, 72), (250, 206, 84), (92, 164, 204))[number % 3]
        brush.polygon(sail, colour)
        cover.polygon(sail, 255)
        for distance in np.arange(2.2, 5.2, 0.5):
            brush.line(np.array([(distance, -0.1), (0.82 * distance, 1.9)]) @ turn, (250, 246, 236), 0.12)
        brush.polygon(np.array([(0.0, 0.0), (2.4, 2.0), (2.6, 0.6)]) @ turn, tuple(int(0.7 * c) for c in colour))
    for canvas, colour in ((brush, (70, 60, 54)), (cover, 255)):
        canvas.polygon(0.6 * circle(20), colour)
    return _premultiplied(brush.canvas.astype(np.float32), mask)


def paint_hanging_sign(unit: float, rng: np.random.Generator) -> np.ndarray:
    """A round board that hangs 8 units below the centre on two thin chains, with small lettering."""
    side, brush = _canvas(30, unit)
    board = wood(side, side, plank=3 * unit, colour=(172, 128, 82), rng=rng)
    brush.canvas[:] = board
    disc = 5.6 * circle(64) + [0, 9]
    brush.line(np.concatenate([disc, disc[:1]]), (84, 54, 32), 0.7)
    brush.text("coffee", 0, 8.4, (60, 36, 22), size=2.0, width=8.6)
    brush.text("& cake", 0, 11.4, (60, 36, 22), size=2.0, width=8.0)
    brush.text("to take away", 0, 13.0, (60, 36, 22), size=0.9, width=6.6)
    mask = np.zeros((side, side), np.uint8)
    cover = Brush(mask, unit, (side / 2, side / 2))
    cover.polygon(disc, 255)
    for x in (-2.6, 2.6):
        for canvas, colour in ((brush, (58, 58, 62)), (cover, 255)):
            canvas.line([(0.4 * x, 0), (x, 4.2)], colour, 0.16)
    return _premultiplied(brush.canvas.astype(np.float32), mask)


def paint_balloon(unit: float, colour: Colour) -> np.ndarray:
    """A balloon 8 units wide on a thin string, lit from the upper left."""
    side, brush = _canvas(34, unit)
    y, x = (np.mgrid[0:side, 0:side].astype(np.float32) + 0.5 - side / 2) / unit
    depth = np.sqrt(np.clip(1 - (x / 4) ** 2 - ((y + 7) / 4.9) ** 2, 0, 1))
    light = 0.5 + 0.5 * np.clip(0.75 * depth - 0.12 * x - 0.08 * (y + 7), 0, 1)
    gleam = np.exp(-(((x + 1.5) / 0.9) ** 2) - ((y + 9.2) / 1.3) ** 2)
    picture = np.float32(colour) * light[..., None] + 150 * gleam[..., None]
    mask = np.zeros((side, side), np.uint8)
    cover = Brush(mask, unit, (side / 2, side / 2))
    cover.polygon(circle(64) * [4, 4.9] + [0, -7], 255)
    cover.polygon([(0, -2.4), (0.7, -1.4), (-0.7, -1.4)], 255)
    heights = np.linspace(-1.5, 15, 40)
    string = np.stack([0.5 * np.sin(heights / 2.2), heights], 1)
    brush.canvas[:] = np.clip(picture, 0, 255).astype(np.uint8)
    for canvas, tone in ((brush, (236, 232, 222)), (cover, 255)):
        canvas.line(string, tone, 0.14)
    return _premultiplied(brush.canvas.astype(np.float32), mask)


def paint_leaf(unit: float, rng: np.random.Generator) -> np.ndarray:
    """A yellow leaf of about 3 units."""
    side, brush = _canvas(4, unit)
    centre = np.array([[side / 2, side / 2]])
    draw_leaves(brush.canvas, centre, size=3.2 * unit, colour=(214, 158, 52), rng=rng)
    # Painted on black: the brightest channel of the leaf is its coverage times that of its colour.
    mask = np.clip(brush.canvas.max(2).astype(np.float32) * 3, 0, 255)
    return np.concatenate([brush.canvas.astype(np.float32), mask[..., None]], 2)


def _canvas(units: float, unit: float) -> tuple[int, Brush]:
    """A square black canvas with the origin of its brush in the middle."""
    side = int(np.ceil(units * unit / 2)) * 2 + 2
    return side, Brush(np.zeros((side, side, 3), np.uint8), unit, (side / 2, side / 2))


def _cut_out(picture: np.ndarray, outline: np.ndarray, unit: float) -> np.ndarray:
    side = picture.shape[0]
    mask = np.zeros((side, side), np.uint8)
    Brush(mask, unit, (side / 2, side / 2)).polygon(outline, 255)
    return _premultiplied(picture, mask)


def _premultiplied(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    alpha = mask.astype(np.float32)[..., None]
    return np.concatenate([picture.astype(np.float32) * (alpha / 255), alpha], 2)
