"""The sample clip's scene: layers at different depths, a camera, and where everything is at a given frame."""

from __future__ import annotations

import cv2
import numpy as np

from .sprites import paint_ball, paint_balloon, paint_hanging_sign, paint_leaf, paint_pinwheel, paint_shadow
from .street import EAVES, PAVEMENT, PINWHEEL_AXLE, SIGN_HOOK, paint_street
from .textures import sky

_OVERSAMPLING = 2  # layers are drawn and combined at twice the size and averaged down: that is the anti-aliasing
_MARGIN = 0.13  # part of the picture's height that the layers reach beyond each of its sides
_PAN = np.array([7.0, 1.6])  # units the camera goes to either side of the middle, and up and down
_ZOOM = 0.10


class SampleScene:
    """Holds the painted layers; `render` is a pure function of the frame's number.

    Args:
        height: Pixels of a frame.
        width: Pixels of a frame.
        seed: Decides the textures.
    """

    def __init__(self, *, height: int, width: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._size = (height, width)
        self._fine = (_OVERSAMPLING * height, _OVERSAMPLING * width)
        self._unit = unit = self._fine[0] / 100
        rows, columns = (int(side + 2 * _MARGIN * self._fine[0]) for side in self._fine)
        street = paint_street(rows, columns, unit=unit, rng=rng).astype(np.float32)
        street[..., :3] *= street[..., 3:] / 255
        self._street = street
        self._sky = sky(int((EAVES + 12) * unit), columns, rng=rng)
        self._ball, self._shadow = paint_ball(unit, rng), paint_shadow(unit)
        self._pinwheel = paint_pinwheel(unit)
        self._sign = paint_hanging_sign(unit, rng)
        self._balloon = paint_balloon(unit, (206, 52, 66))
        self._leaves = [paint_leaf(unit, rng) for _ in range(4)]
        self._edge = 100 * width / height / 2  # half the picture's width in units

    def render(self, index: int) -> np.ndarray:
        """Frame `index`, `h w c` uint8 RGB."""
        seconds = index / 24
        pan = _PAN * [np.sin(0.55 * seconds + 0.3), np.sin(0.83 * seconds)]
        zoom = 1 + _ZOOM * (0.5 - 0.5 * np.cos(0.7 * seconds + 0.5))
        canvas = self._backdrop(pan, zoom)
        self._lay(canvas, self._street, (0.0, 50.0), pan, zoom)
        self._lay(canvas, self._sign, SIGN_HOOK, pan, zoom, angle=0.16 * np.sin(2.6 * seconds))
        self._lay(canvas, self._pinwheel, PINWHEEL_AXLE, pan, zoom, angle=-2.4 * seconds)
        for number, leaf in enumerate(self._leaves):
            fall = 9.0 * seconds + 27 * number
            place = (30 - 14 * number + 5 * np.sin(0.14 * fall + number), EAVES + 3 + fall % (PAVEMENT - EAVES))
            self._lay(canvas, leaf, place, pan, zoom, angle=0.9 * np.sin(0.3 * fall) + number)
        self._roll_ball(canvas, seconds, pan, zoom)
        rise = (18 + 7.0 * seconds) % 150
        balloon = (-30 + 3 * np.sin(0.9 * seconds), 112 - rise)
        self._lay(canvas, self._balloon, balloon, 1.25 * pan, zoom, angle=0.07 * np.sin(1.7 * seconds))
        height, width = self._size
        small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
        return np.clip(np.round(small), 0, 255).astype(np.uint8)

    def _backdrop(self, pan: np.ndarray, zoom: float) -> np.ndarray:
        height, width = self._fine
        middle = self._sky.shape[0] / self._unit / 2
        matrix = self._camera(self._sky, (0.0, middle - 16.0), 0.35 * pan, 1 + 0.35 * (zoom - 1), 0.0)
        shown = int(0.5 * height)  # further down the street hides it
        canvas = np.zeros((height, width, 3), np.float32)
        canvas[:shown] = cv2.warpAffine(
            self._sky, matrix, (width, shown), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return canvas

    def _roll_ball(self, canvas: np.ndarray, seconds: float, pan: np.ndarray, zoom: float) -> None:
        way = 2 * self._edge + 30
        travelled = (0.62 * way + 15.0 * seconds) % way
        x, ground = travelled - way / 2, PAVEMENT + 9
        hop = 2.2 * abs(np.sin(2.4 * seconds))
        self._lay(canvas, self._shadow, (x + 1.2, ground), pan, zoom)
        self._lay(canvas, self._ball, (x, ground - 5 - hop), pan, zoom, angle=travelled / 5)

    def _camera(
        self, picture: np.ndarray, place: tuple[float, float], pan: np.ndarray, zoom: float, angle: float
    ) -> np.ndarray:
        """The 2 x 3 matrix from a picture's pixels to the canvas: its centre goes to `place`, in units."""
        height, width = self._fine
        turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        target = zoom * self._unit * (np.array(place) - [0, 50] - pan) + [width / 2, height / 2]
        # OpenCV's coordinates count from the middle of the first pixel.
        centre = np.array([picture.shape[1], picture.shape[0]]) / 2 - 0.5
        return np.concatenate([turn, (target - 0.5 - turn @ centre)[:, None]], 1)

    def _lay(
        self,
        canvas: np.ndarray,
        picture: np.ndarray,
        place: tuple[float, float],
        pan: np.ndarray,
        zoom: float,
        *,
        angle: float = 0.0,
    ) -> None:
        """Lays a premultiplied picture over the canvas, within the box it covers."""
        matrix = self._camera(picture, place, pan, zoom, angle)
        rows, columns = picture.shape[:2]
        corners = matrix[:, :2] @ np.array([[0, columns, 0, columns], [0, 0, rows, rows]]) + matrix[:, 2:]
        x0, y0 = np.maximum(np.floor(corners.min(1)).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(corners.max(1)).astype(int) + 1, self._fine[::-1])
        if x1 <= x0 or y1 <= y0:
            return
        matrix[:, 2] -= [x0, y0]
        above = cv2.warpAffine(picture, matrix, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR)
        below = canvas[y0:y1, x0:x1]
        below *= 1 - above[..., 3:] / 255
        below += above[..., :3]
