"""Surfaces of the sample clip: bricks, wood, paving, leaves, clouds. All are `h w c` uint8 RGB, made from a generator.

Lengths are in pixels of the canvas that is painted, which the sample clip shrinks by half; hence nothing here needs
filtering of its own beyond soft edges of about a pixel.
"""

from __future__ import annotations

import cv2
import numpy as np

Colour = tuple[int, int, int]


def fractal_noise(
    height: int, width: int, *, cell: tuple[float, float], octaves: int, rng: np.random.Generator
) -> np.ndarray:
    """Smooth noise, `h w` float32 in about [0, 1] around 0.5: octaves of interpolated random grids.

    Args:
        height: Pixels.
        width: Pixels.
        cell: Height and width of a grid cell of the first octave; each further one is half as large and as strong.
        octaves: Number of grids; those with cells below 2 pixels are left out.
        rng: Source of the grids.
    """
    total, weight, strength = np.zeros((height, width), np.float32), 0.0, 1.0
    for octave in range(octaves):
        rows, columns = (max(length / 2**octave, 2.0) for length in cell)
        grid = rng.random((int(height / rows) + 4, int(width / columns) + 4), np.float32)
        fine = cv2.resize(grid, None, fx=columns, fy=rows, interpolation=cv2.INTER_CUBIC)
        total += strength * fine[int(rows) : int(rows) + height, int(columns) : int(columns) + width]
        weight, strength = weight + strength, strength / 2
    return total / weight


def bricks(height: int, width: int, *, course: float, rng: np.random.Generator) -> np.ndarray:
    """A wall of red bricks in running bond, lit from the upper left; `course` is the height of a row in pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    wobble = fractal_noise(height, width, cell=(course, course), octaves=3, rng=rng) - 0.5
    y, x = y + 0.14 * course * wobble, x - 0.14 * course * wobble
    length = 2.4 * course
    row = np.floor(y / course).astype(int)
    x = x + (row % 2) * length / 2
    column = np.floor(x / length).astype(int)
    up, left = y - row * course, x - column * length
    edge = np.minimum(np.minimum(up, course - up), np.minimum(left, length - left))
    tone = rng.normal(0, 1, (41, 43, 3)).astype(np.float32)[row % 41, column % 43]
    tone = tone[..., :1] * np.float32([20, 14, 10]) + tone * 4
    grain = fractal_noise(height, width, cell=(course / 3, course / 2), octaves=4, rng=rng)[..., None] - 0.5
    brick = np.float32([158, 84, 62]) + tone + 90 * grain
    joint = 0.07 * course
    # Upper and left edges catch the light, lower and right ones lie in shade.
    light = np.clip(1 - np.minimum(up, left) / (2.5 * joint), 0, 1)
    shade = np.clip(1 - np.minimum(course - up, length - left) / (3 * joint), 0, 1)
    brick *= (1 + 0.25 * light - 0.35 * shade)[..., None]
    mortar = np.float32([176, 168, 154]) + 70 * grain
    wall = mortar + (brick - mortar) * np.clip((edge - joint) / 1.5 + 0.5, 0, 1)[..., None]
    return _to_bytes(wall + _speckle(height, width, 70, rng))


def wood(height: int, width: int, *, plank: float, colour: Colour, rng: np.random.Generator) -> np.ndarray:
    """Upright planks with grain; `plank` is their width in pixels."""
    x = np.arange(width, dtype=np.float32)[None]
    number = np.floor(x / plank).astype(int)
    bend = fractal_noise(height, width, cell=(6 * plank, plank), octaves=3, rng=rng)
    rings = np.sin(2 * np.pi * (5 * bend + 1.5 * x / plank + rng.random(64).astype(np.float32)[number % 64]))
    fibre = fractal_noise(height, width, cell=(4 * plank, plank / 8), octaves=3, rng=rng) - 0.5
    tone = 1 + 0.11 * rings + 0.55 * fibre + rng.normal(0, 0.05, 64).astype(np.float32)[number % 64]
    across = x - number * plank
    groove = np.clip(np.minimum(across, plank - across) / (0.05 * plank + 1), 0.25, 1)
    return _to_bytes(np.float32(colour) * (tone * groove)[..., None] + _speckle(height, width, 30, rng))


def paving(height: int, width: int, *, stone: float, rng: np.random.Generator) -> np.ndarray:
    """Cobbles in offset rows, rows and stones of uneven tone; `stone` is their size in pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    # Rows grow towards the viewer.
    y = height * (y / height) ** 0.75
    row = np.floor(y / (0.7 * stone)).astype(int)
    x = x + rng.random(61).astype(np.float32)[row % 61] * stone
    x += 0.1 * stone * (fractal_noise(height, width, cell=(stone, stone), octaves=2, rng=rng) - 0.5)
    column = np.floor(x / stone).astype(int)
    u, v = 2 * (x / stone - column) - 1, 2 * (y / (0.7 * stone) - row) - 1
    dome = 1 - (u**4 + v**4)
    tone = rng.normal(0, 13, (61, 67)).astype(np.float32)[row % 61, column % 67]
    grain = fractal_noise(height, width, cell=(stone / 3, stone / 3), octaves=4, rng=rng) - 0.5
    grey = 128 + tone + 80 * grain - 26 * v
    stones = grey[..., None] * np.float32([1.0, 0.97, 0.93])
    stones += _speckle(height, width, 60, rng)
    return _mix(np.full_like(stones, (62, 58, 52)), stones, dome * 4)


def sky(height: int, width: int, *, rng: np.random.Generator) -> np.ndarray:
    """Blue with clouds over a far wooded ridge."""
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    blue = np.float32([92, 146, 206]) * (1 - y) + np.float32([196, 216, 232]) * y
    clouds = fractal_noise(height, width, cell=(height / 7, height / 3), octaves=6, rng=rng)
    picture = _mix(np.broadcast_to(blue, (height, width, 3)), np.float32([250, 248, 244]), (clouds - 0.5) * 5).astype(
        np.float32
    )
    ridge = fractal_noise(1, width, cell=(4, height / 4), octaves=7, rng=rng)[0] * 0.10 * height + 0.075 * height
    trees = fractal_noise(height, width, cell=(height / 60, height / 60), octaves=4, rng=rng)
    wooded = np.float32([70, 98, 82]) + 90 * (trees[..., None] - 0.5)
    return _mix(picture, wooded, np.arange(height)[:, None] - (height - ridge[None]))


def draw_leaves(
    canvas: np.ndarray, centres: np.ndarray, *, size: float, colour: Colour, rng: np.random.Generator
) -> None:
    """Paints pointed leaves with a mid-rib into `canvas`, dark ones first.

    Args:
        canvas: `h w c` uint8, changed in place.
        centres: `n 2`, x and y in pixels.
        size: Length of a leaf in pixels.
        colour: Mean colour.
        rng: Source of angles, sizes and tones.
    """
    height, width = canvas.shape[:2]
    centres = centres[np.all((centres > -size) & (centres < np.array([width, height]) + size), axis=1)]
    count = len(centres)
    t = np.linspace(0, np.pi, 7)
    side = np.stack([-np.cos(t), 0.36 * np.sin(t) ** 1.4], 1)
    shape = np.concatenate([side, side[::-1] * [1, -1], [[-1.0, 0.0], [0.9, 0.0]]])  # the outline, then the rib
    angle = rng.normal(np.pi / 2, 0.8, count)
    turns = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], 1).reshape(count, 2, 2)
    lengths = size * rng.uniform(0.35, 0.6, (count, 1, 1))
    points = fixed_point(shape @ turns * lengths + centres[:, None])
    tones = np.linspace(0.45, 1.1, count)[:, None] * rng.normal(1, 0.12, (count, 1)) * np.array(colour)
    tones += rng.normal(0, 6, (count, 3))
    fills, ribs = (np.clip(brightness * tones, 0, 255).tolist() for brightness in (1.0, 1.35))
    for leaf, fill, rib in zip(points, fills, ribs, strict=True):
        cv2.fillPoly(canvas, [leaf[:-2]], fill, cv2.LINE_AA, 4)
        cv2.polylines(canvas, [leaf[-2:]], False, rib, 1, cv2.LINE_AA, 4)


def _speckle(height: int, width: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Fine grain around 0, `h w 1`."""
    return strength * (fractal_noise(height, width, cell=(5, 5), octaves=2, rng=rng)[..., None] - 0.5)


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Points in OpenCV's fixed-point notation with 4 fractional bits."""
    return np.round(points * 16).astype(np.int32)


def _mix(below: np.ndarray, above: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    alpha = np.clip(alpha, 0, 1)[..., None]
    return _to_bytes(below * (1 - alpha) + above * alpha)


def _to_bytes(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)
