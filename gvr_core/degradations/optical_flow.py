"""Where the picture moves, and from where: DIS optical flow from a frame to the one before it, and a motion mask.

The flow is estimated on the frame or, above `FlowDegradation.flow_side`, on a smaller copy; what is derived from it is
smooth and computed on "maps" of at most `_MAP_SIDE`, whose values are pixels of the frame all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .config import REFERENCE_SIDE, FlowDegradation
from .workspace import Workspace

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
_MAP_SIDE = 360
"""Short side of the maps: half of 720p, where a pixel is still smaller than anything that is drawn with them."""
_LEAST_SIDE, _WIDEST = 64, 2.5
"""Below this side and above this ratio of the sides, DIS halves its pyramid until patches no longer fit, and answers
with an error or with whatever the memory held."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Motion between two frames.

    Attributes:
        flow: `h w 2` float32 on the map, (x, y) in pixels of the frame from a pixel to its place one frame earlier.
        moving: `h w` bool on the map.
        reach: `h w` float32 on the map: 1 where something moves, falling to 0 over the dilation around it.
        full_flow: `h w 2` float32 of the frame.
    """

    flow: np.ndarray
    moving: np.ndarray
    reach: np.ndarray
    full_flow: np.ndarray


class MotionEstimator:
    """Estimates motion between frames of one size.

    Args:
        height: Rows of the frames.
        width: Columns of the frames.
        config: Preset, working size and mask.

    Attributes:
        scale: Pixels of the frame for a pixel in the config.
        map_scale: Pixels of the map for a pixel of the frame.
        workspace: Memory for what is made of one frame after the other.
    """

    def __init__(self, height: int, width: int, config: FlowDegradation) -> None:
        self.config, self.size = config, (width, height)
        side = min(height, width)
        self.scale = side / REFERENCE_SIDE
        self.flow_size = _resized(width, height, config.flow_side)
        self.map_size = _resized(width, height, min(_MAP_SIDE, config.flow_side))
        self.map_scale = min(self.map_size) / side
        self.workspace = Workspace()
        self._dis = cv2.DISOpticalFlow_create(_PRESETS[config.preset])

    def luma(self, frame: np.ndarray) -> np.ndarray:
        """What the flow is estimated from, uint8 `h w` at its size, of a frame `h w 3`."""
        return _shrink(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), self.flow_size)

    def flow(self, luma: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """`h w 2` float32 at the flow's size, in pixels of the frame."""
        height, width = luma.shape
        rows = max(height, _LEAST_SIDE, int(np.ceil(width / _WIDEST)))
        columns = max(width, _LEAST_SIDE, int(np.ceil(height / _WIDEST)))
        border = (0, rows - height, 0, columns - width, cv2.BORDER_REPLICATE)
        pair = [cv2.copyMakeBorder(picture, *border) for picture in (luma, previous)]
        flow = self._dis.calc(*pair, None)[:height, :width]
        ratio = np.array([n / m for n, m in zip(self.size, self.flow_size, strict=True)], np.float32)
        return flow * ratio

    def motion(self, luma: np.ndarray, previous: np.ndarray) -> Motion:
        """Flow and mask for a frame, from its `luma` and that of the frame before."""
        return self.find_moving(self.flow(luma, previous), luma, previous)

    def find_moving(self, flow: np.ndarray, luma: np.ndarray, previous: np.ndarray) -> Motion:
        """What moves, by the flow between two lumas and by whether it explains how they differ."""
        small = _shrink(flow, self.map_size)
        moving = self._moving(small, _shrink(luma, self.map_size), _shrink(previous, self.map_size))
        full = flow if self.flow_size == self.size else cv2.resize(flow, self.size, interpolation=cv2.INTER_LINEAR)
        return Motion(flow=small, moving=moving, reach=self._reach(moving), full_flow=full)

    def _moving(self, flow: np.ndarray, luma: np.ndarray, previous: np.ndarray) -> np.ndarray:
        config = self.config
        moving = cv2.magnitude(flow[..., 0], flow[..., 1]) > config.threshold * self.scale
        if not moving.any():
            return moving
        x, y = self.workspace.grid(*self.map_size[::-1])
        step = flow * np.float32(self.map_scale)
        warped = cv2.remap(
            previous, x + step[..., 0], y + step[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        stayed, moved = (
            cv2.blur(cv2.absdiff(luma, other).astype(np.float32), (_PATCH, _PATCH)) for other in (previous, warped)
        )
        if stayed.mean() > _CUT_CHANGE and moved.mean() > _CUT_LEFT * stayed.mean():
            return np.zeros_like(moving)
        # Flow leaks from moving things into the still background beside them; what did not change did not move.
        moving &= (stayed > _NO_CHANGE) & (moved < _BETTER * stayed)
        closed = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_CLOSE, _disc(_PATCH))
        _, labels, statistics, _ = cv2.connectedComponentsWithStats(closed)
        large = statistics[:, cv2.CC_STAT_AREA] >= config.least_area * (self.scale * self.map_scale) ** 2
        large[0] = False
        return large[labels]

    def _reach(self, moving: np.ndarray) -> np.ndarray:
        """Falls to 0 within the dilation: grown by a half of it, smoothed over the other half."""
        half = max(1, int(self.config.dilation * self.scale * self.map_scale / 2))
        grown = cv2.dilate(moving.astype(np.float32), _disc(half))
        # A square window fits into the disc that was grown by, so that 1 stays 1 on all of what moves.
        inner = int(half / np.sqrt(2))
        return cv2.blur(grown, (2 * inner + 1, 2 * inner + 1)) if inner else grown


_PATCH = 5
"""Pixels of the map over which two frames are compared."""
_NO_CHANGE, _BETTER = 1.0, 1.25
"""Mean change of a patch, in steps of 0 to 255, that is none; and how much worse the moved patch may fit than the
unmoved one before the motion is not believed."""
_CUT_CHANGE, _CUT_LEFT = 24.0, 0.75
"""Change of the whole picture, and the part of it that no motion explains, that make a cut between two scenes."""


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _resized(width: int, height: int, side: int) -> tuple[int, int]:
    """(width, height) with a short side of at most `side`."""
    ratio = min(1.0, side / min(width, height))
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def _shrink(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if picture.shape[1::-1] == size:
        return picture
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
