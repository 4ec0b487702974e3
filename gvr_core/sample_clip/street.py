"""The still part of the sample clip: a bakery's brick front with door, windows, ivy and pavement.

Everything is placed in units of a hundredth of the picture's height; x runs to the right from the middle of the front.
"""

from __future__ import annotations

import cv2
import numpy as np

from .textures import Colour, bricks, draw_leaves, fixed_point, fractal_noise, paving, wood

EAVES, PAVEMENT = 19.0, 83.0
"""Heights, in units from the top, where the wall begins and where it meets the pavement."""

PINWHEEL_AXLE, SIGN_HOOK = (-14.5, 60.0), (-6.0, 36.5)
"""Where the moving pinwheel and the hanging sign of the middle front turn."""

_TEXT_FONT = cv2.FONT_HERSHEY_DUPLEX


class Brush:
    """Draws on a `h w c` uint8 canvas in units, with smooth edges.

    Args:
        canvas: Changed in place.
        unit: Pixels of a unit.
        origin: x and y in pixels of the unit system's origin.
    """

    def __init__(self, canvas: np.ndarray, unit: float, origin: tuple[float, float] = (0.0, 0.0)) -> None:
        self.canvas = canvas
        self.unit = unit
        self._origin = np.array(origin)

    def pixels(self, points: np.ndarray | list[tuple[float, float]]) -> np.ndarray:
        return np.asarray(points, float) * self.unit + self._origin

    def polygon(self, points: np.ndarray | list[tuple[float, float]], colour: Colour) -> None:
        cv2.fillPoly(self.canvas, [fixed_point(self.pixels(points))], colour, cv2.LINE_AA, 4)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def line(self, points: np.ndarray | list[tuple[float, float]], colour: Colour, width: float) -> None:
        thickness = max(round(width * self.unit), 1)
        cv2.polylines(self.canvas, [fixed_point(self.pixels(points))], False, colour, thickness, cv2.LINE_AA, 4)

    def text(self, text: str, x: float, y: float, colour: Colour, *, size: float, width: float) -> None:
        """Letters centred on x with their feet on y: capitals of height `size`, less where they would pass `width`."""
        scale = size * self.unit / 21  # a capital of scale 1 is about 21 pixels high
        thickness = max(round(0.12 * size * self.unit), 1)
        (length, _), _ = cv2.getTextSize(text, _TEXT_FONT, scale, thickness)
        scale *= min(1.0, width * self.unit / max(length, 1))
        (length, _), _ = cv2.getTextSize(text, _TEXT_FONT, scale, thickness)
        left, foot = self.pixels([(x, y)])[0]
        place = (round(left - length / 2), round(foot))
        cv2.putText(self.canvas, text, place, _TEXT_FONT, scale, colour, thickness, cv2.LINE_AA)

    def paste(self, picture: np.ndarray, left: float, top: float) -> None:
        """Puts an opaque picture with its corner at the nearest pixel, cut at the canvas' border."""
        x, y = np.round(self.pixels([(left, top)])[0]).astype(int)
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + picture.shape[1], self.canvas.shape[1]), min(y + picture.shape[0], self.canvas.shape[0])
        if x1 > x0 and y1 > y0:
            self.canvas[y0:y1, x0:x1] = picture[y0 - y : y1 - y, x0 - x : x1 - x]

    def shade(self, left: float, top: float, right: float, bottom: float, strength: float, blur: float) -> None:
        """Darkens a box with soft edges: a shadow of the given strength in [0, 1]."""
        margin = 3 * blur
        (x0, y0), (x1, y1) = self.pixels([(left - margin, top - margin), (right + margin, bottom + margin)]).astype(int)
        part = self.canvas[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        if not part.size:
            return
        mask = np.zeros(part.shape[:2], np.uint8)
        corner = (self._origin[0] - max(x0, 0), self._origin[1] - max(y0, 0))
        Brush(mask, self.unit, corner).box(left, top, right, bottom, 255)
        soft = cv2.GaussianBlur(mask, (0, 0), max(blur * self.unit, 0.5)).astype(np.float32) / 255
        part[:] = np.round(part * (1 - strength * soft)[..., None])


def paint_street(height: int, width: int, *, unit: float, rng: np.random.Generator) -> np.ndarray:
    """The front, `h w 4` uint8 RGBA; above the roof it is transparent.

    Args:
        height: Pixels of the canvas; the picture's 100 units are centred in it.
        width: Pixels of the canvas; the front is repeated sideways to fill it.
        unit: Pixels of a unit.
        rng: Source of all textures.
    """
    top = height / 2 - 50 * unit
    canvas = np.zeros((height, width, 3), np.uint8)
    wall_height = int((PAVEMENT - EAVES + 1) * unit)
    wall = bricks(wall_height, width, course=2.7 * unit, rng=rng)
    stains = fractal_noise(wall_height, width, cell=(40 * unit, 25 * unit), octaves=4, rng=rng)
    wall = np.clip(wall * (0.72 + 0.56 * stains[..., None]), 0, 255).astype(np.uint8)
    Brush(canvas, unit, (0.0, top)).paste(wall, 0, EAVES)
    repeats = int(np.ceil((width / unit / 96 - 1) / 2)) if width > 96 * unit else 0
    for number in range(-repeats, repeats + 1):
        _paint_front(Brush(canvas, unit, (width / 2 + 96 * unit * number, top)), rng)
    middle = Brush(canvas, unit, (width / 2, top))
    (x, y), (hook, beam) = PINWHEEL_AXLE, SIGN_HOOK
    middle.line([(x, y), (x - 1, 71)], (196, 168, 128), 0.4)
    middle.line([(hook - 6.5, beam), (hook + 4, beam)], (46, 46, 50), 0.6)
    middle.line([(hook - 6.2, beam + 4), (hook - 2, beam)], (46, 46, 50), 0.35)
    brush = Brush(canvas, unit, (0.0, top))
    edge = width / unit
    brush.paste(paving(int(height - top - PAVEMENT * unit) + 1, width, stone=6 * unit, rng=rng), 0, PAVEMENT)
    brush.box(0, PAVEMENT - 3.2, edge, PAVEMENT, (128, 124, 118))
    brush.line([(0, PAVEMENT - 3.2), (edge, PAVEMENT - 3.2)], (176, 172, 164), 0.35)
    brush.shade(-5, PAVEMENT - 0.5, edge + 5, PAVEMENT + 3, 0.45, 1.2)
    _paint_roof(brush, edge, rng)
    alpha = np.zeros((height, width, 1), np.uint8)
    alpha[max(round(top + (EAVES - 6.5) * unit), 0) :] = 255
    street = np.concatenate([canvas, alpha], 2)
    _paint_wires(street, unit, top)
    return street


def _paint_front(brush: Brush, rng: np.random.Generator) -> None:
    _paint_window(brush, -44, rng)
    _paint_sign(brush, rng)
    _paint_door(brush, rng)
    _paint_ivy(brush, rng)


def _paint_window(brush: Brush, left: float, rng: np.random.Generator) -> None:
    unit = brush.unit
    top, bottom, right = 40.0, 68.0, left + 22
    for side in (left - 9, right + 1):
        brush.shade(side + 0.6, top, side + 8.8, bottom + 0.8, 0.45, 0.7)
        brush.box(side, top, side + 8, bottom, (58, 92, 86))
        # Louvres of 1.1 units: about 5 pixels of a 512-row picture.
        for y in np.arange(top + 1.4, bottom - 1.6, 1.1):
            brush.box(side + 1, y, side + 7, y + 0.55, (94, 138, 128))
        brush.line([(side, top), (side + 8, top)], (120, 160, 150), 0.3)
    brush.shade(left, top - 1, right + 1, bottom + 2, 0.5, 0.8)
    brush.box(left - 0.6, top - 1, right + 0.6, bottom + 0.6, (232, 226, 212))
    pane = np.linspace(0, 1, int((bottom - top) * unit), dtype=np.float32)[:, None, None]
    glass = np.float32([112, 140, 160]) * (1 - pane) + np.float32([42, 48, 58]) * pane
    sheen = fractal_noise(glass.shape[0], int(22 * unit), cell=(30 * unit, 6 * unit), octaves=3, rng=rng)[..., None]
    brush.paste(np.clip(glass * (0.5 + sheen), 0, 255).astype(np.uint8), left, top)
    for shelf in (54.0, 64.5):
        for x in np.arange(left + 2.2, right - 1, 3.5):
            tone = float(rng.normal(1, 0.12))
            loaf = np.array([(np.cos(a), 0.9 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 24)]) * [1.55, 1.2]
            brush.polygon(loaf + np.array([x, shelf - 1.1]), (int(196 * tone), int(138 * tone), int(74 * tone)))
            for cut in (-0.7, 0.0, 0.7):
                brush.line([(x + cut - 0.25, shelf - 0.7), (x + cut + 0.25, shelf - 1.8)], (240, 206, 150), 0.18)
        brush.box(left, shelf, right, shelf + 0.7, (140, 104, 70))
    middle = (left + right) / 2
    brush.box(middle - 0.5, top, middle + 0.5, bottom, (232, 226, 212))
    brush.box(left, top + 8, right, top + 8.8, (232, 226, 212))
    brush.text("FRESH", middle - 5.6, top + 6.2, (246, 238, 210), size=2.6, width=8.5)
    brush.text("BREAD", middle + 5.6, top + 6.2, (246, 238, 210), size=2.6, width=8.5)
    brush.shade(left - 1, bottom + 2, right + 2, bottom + 4, 0.5, 0.8)
    brush.box(left - 1.5, bottom + 0.4, right + 1.5, bottom + 2.2, (206, 200, 188))
    spots = np.stack([rng.uniform(left - 1, right + 1, 150), rng.normal(bottom - 0.6, 1.3, 150)], 1)
    draw_leaves(brush.canvas, brush.pixels(spots), size=2.6 * unit, colour=(84, 132, 62), rng=rng)
    for spot in spots[::6]:
        for angle in np.arange(5) * 2 * np.pi / 5:
            petal = spot + 0.45 * np.array([np.cos(angle), np.sin(angle)])
            brush.polygon(petal + 0.4 * circle(8), (214, 62, 92))
        brush.polygon(spot + 0.3 * circle(8), (250, 214, 90))


def _paint_sign(brush: Brush, rng: np.random.Generator) -> None:
    board = wood(int(47 * brush.unit), int(9 * brush.unit), plank=3 * brush.unit, colour=(40, 66, 60), rng=rng)
    brush.shade(-47.5, 26, -0.5, 35.3, 0.55, 0.9)
    brush.paste(np.rot90(board), -48, 25.5)
    brush.line([(-47.4, 26.1), (-1.6, 26.1), (-1.6, 33.9), (-47.4, 33.9), (-47.4, 26.1)], (206, 172, 96), 0.3)
    brush.text("BAKERY", -33.5, 32.3, (240, 220, 160), size=4.8, width=25)
    brush.text("since 1924", -11.5, 29.6, (226, 214, 178), size=2.0, width=15)
    brush.text("open 7-18 h", -11.5, 32.8, (226, 214, 178), size=1.7, width=15)


def _paint_door(brush: Brush, rng: np.random.Generator) -> None:
    left, right, top = 5.0, 25.0, 42.0
    brush.shade(left - 1, top - 1, right + 1.5, PAVEMENT, 0.5, 0.8)
    brush.box(left - 1.6, top - 1.6, right + 1.6, PAVEMENT, (222, 214, 196))
    height, width = int((PAVEMENT - top) * brush.unit), int((right - left) * brush.unit)
    brush.paste(wood(height, width, plank=4 * brush.unit, colour=(126, 78, 46), rng=rng), left, top)
    brush.box(left + 4, top + 4, right - 4, top + 17, (60, 42, 28))
    brush.box(left + 4.6, top + 4.6, right - 4.6, top + 16.4, (92, 112, 122))
    for x in np.arange(left + 5.4, right - 4.6, 0.8):
        brush.line([(x, top + 4.6), (x, top + 16.4)], (196, 204, 204), 0.12)
    brush.box(left + 7.6, top + 8, right - 2.4 - 5, top + 12.4, (238, 232, 214))
    brush.text("OPEN", (left + right) / 2, top + 11.2, (150, 40, 36), size=1.9, width=6)
    brush.polygon(np.array([right - 2.4, 64.0]) + 0.9 * circle(20), (222, 184, 92))
    brush.polygon(np.array([right - 2.7, 63.7]) + 0.3 * circle(10), (255, 244, 204))
    for number in range(12):
        a, b = left - 4 + 28 * number / 12, left - 4 + 28 * (number + 1) / 12
        colour = (188, 54, 48) if number % 2 else (240, 234, 220)
        brush.polygon([(a + 1.5, 36), (b + 1.5 - 3 / 12, 36), (b, 44), ((a + b) / 2, 45.4), (a, 44)], colour)
    brush.shade(left - 4, 44.4, left + 24, 47, 0.4, 0.7)


def _paint_ivy(brush: Brush, rng: np.random.Generator) -> None:
    count = 1100
    y = EAVES + 4 + (PAVEMENT - EAVES - 4) * rng.beta(1.2, 0.9, count)
    spread = 3.2 + 5.0 * (y - EAVES) / (PAVEMENT - EAVES) * rng.uniform(0.6, 1.0, count)
    x = 39.5 + 2.5 * np.sin(y / 7) + spread * rng.uniform(-1, 1, count)
    draw_leaves(brush.canvas, brush.pixels(np.stack([x, y], 1)), size=3.4 * brush.unit, colour=(84, 128, 58), rng=rng)


def _paint_roof(brush: Brush, edge: float, rng: np.random.Generator) -> None:
    brush.shade(-5, EAVES, edge + 5, EAVES + 3.5, 0.6, 1.2)
    brush.box(0, EAVES - 7, edge, EAVES, (96, 52, 44))
    for row, y in enumerate((EAVES - 6.5, EAVES - 4.5, EAVES - 2.5)):
        for x in np.arange(-2.0 + row % 2, edge + 2, 2.0):
            tone = float(rng.normal(1, 0.13))
            outline = np.array([(-0.95, -0.6), (0.95, -0.6), (0.95, 1.2), (0.55, 1.9), (-0.55, 1.9), (-0.95, 1.2)])
            brush.polygon(outline + np.array([x, y]), (int(142 * tone), int(74 * tone), int(58 * tone)))
    brush.box(0, EAVES - 0.6, edge, EAVES + 0.9, (104, 110, 112))
    brush.line([(0, EAVES - 0.3), (edge, EAVES - 0.3)], (190, 196, 196), 0.25)


def _paint_wires(street: np.ndarray, unit: float, top: float) -> None:
    """Sagging wires in front of the sky: their coverage goes into alpha too."""
    street = street[: int(top + (EAVES - 6) * unit)]
    mask = np.zeros(street.shape[:2], np.uint8)
    brush = Brush(mask, unit, (0.0, top))
    x = np.linspace(0, street.shape[1] / unit, 80)
    for y, sag in ((3.5, 2.5), (5.4, 2.0), (7.6, 1.7)):
        brush.line(np.stack([x, y + sag * (1 - ((x % 60) / 30 - 1) ** 2)], 1), 255, 0.22)
    coverage = mask[..., None].astype(np.float32) / 255
    street[..., :3] = street[..., :3] * (1 - coverage) + np.float32([38, 40, 44]) * coverage
    street[..., 3] = np.maximum(street[..., 3], mask)


def circle(points: int) -> np.ndarray:
    """Corners of a regular polygon of radius 1, `n 2`."""
    angles = np.arange(points) * 2 * np.pi / points
    return np.stack([np.cos(angles), np.sin(angles)], 1)
