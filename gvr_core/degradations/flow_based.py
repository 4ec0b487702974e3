"""Flow-based degradation (S 4.2.1): the two faults of a text-to-video model where something moves.

Colours of the frame before are blended into elliptical spots, then what moves is blurred along its motion. What stands
still keeps every bit. Both need no more than a frame and the one before it, so clips of any length are streamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from .config import FlowDegradation
from .flow_blur import block_motion, blur_lines, line_blur
from .flow_ellipses import paint_ellipses
from .optical_flow import Motion, MotionEstimator
from .randomness import FLOW_ELLIPSES, keyed_generator


@dataclass(frozen=True, kw_only=True)
class Degraded:
    """A degraded frame and what it was made by.

    Attributes:
        frame: `h w 3` uint8 RGB.
        mask: `h w` bool: where it may differ from the original, that is the dilated motion region.
        flow: `h w 2` float32, (x, y) in pixels from each pixel to its place in the frame before; the negative of the
            motion that led here. 0 for the first frame.
    """

    frame: np.ndarray
    mask: np.ndarray
    flow: np.ndarray


def degrade_flow(
    frames: Iterable[np.ndarray],
    config: FlowDegradation,
    *,
    seed: int,
    clip_id: str,
    first_frame: int = 0,
    previous: np.ndarray | None = None,
) -> Iterator[Degraded]:
    """Degrades a clip frame by frame, holding two frames at a time.

    A frame's result depends on the frame, the one before it, the config, the seed, the clip's id and its number in the
    clip. So a clip can be worked on in pieces, if each is given its number and the frame before it.

    Args:
        frames: `h w 3` uint8 RGB, all of one size.
        config: See there.
        seed: 0 to 2**64 - 1.
        clip_id: Name of the clip; other clips get other spots.
        first_frame: Number of the first of `frames` in the whole clip.
        previous: The original of the frame before the first of `frames`. Without it that one comes back unchanged, as
            it has no motion. So does a frame after a cut, and one equal to its predecessor.

    Raises:
        ValueError: a frame of another type, shape or size, or a seed or number out of range.
    """
    keyed_generator(seed, clip_id, FLOW_ELLIPSES, first_frame)  # its errors at once, not at the first frame
    return _degrade(frames, config, seed, clip_id, first_frame, previous)


def _degrade(
    frames: Iterable[np.ndarray],
    config: FlowDegradation,
    seed: int,
    clip_id: str,
    first_frame: int,
    previous: np.ndarray | None,
) -> Iterator[Degraded]:
    shape = None if previous is None else previous.shape
    if previous is not None:
        _check(previous, shape)
    estimator, luma_before = None, None
    for number, frame in enumerate(frames, first_frame):
        shape = shape or frame.shape
        _check(frame, shape)
        if estimator is None:
            estimator = MotionEstimator(*frame.shape[:2], config)
            luma_before = None if previous is None else estimator.luma(previous)
        luma = estimator.luma(frame)
        if luma_before is None:
            flow = np.zeros((*frame.shape[:2], 2), np.float32)
            yield Degraded(frame=frame.copy(), mask=np.zeros(frame.shape[:2], bool), flow=flow)
        else:
            generator = keyed_generator(seed, clip_id, FLOW_ELLIPSES, number)
            yield degrade_frame(frame, previous, estimator.motion(luma, luma_before), estimator, generator)
        previous, luma_before = frame, luma


def degrade_frame(
    frame: np.ndarray,
    previous: np.ndarray,
    motion: Motion,
    estimator: MotionEstimator,
    generator: np.random.Generator,
) -> Degraded:
    """One frame, by the motion that led to it. Shapes as in `Degraded`."""
    config, scale, size = estimator.config, estimator.scale, estimator.size
    array, area = estimator.workspace.array, estimator.size[::-1]
    mask, result = cv2.resize(motion.reach, size, dst=array("weights", *area)) > 0, frame.copy()
    if motion.moving.any():
        # All that is smooth is made on the map and enlarged; effects end where the reach does.
        paint = paint_ellipses(previous, motion, estimator, generator)
        paint *= motion.reach[..., None]
        colours = cv2.resize(np.ascontiguousarray(paint[..., :3]), size, dst=array("colours", *area, 3))
        covers = cv2.resize(cv2.merge([1 - paint[..., 3]] * 3), size, dst=array("covers", *area, 3))
        blocks = block_motion(motion, config.block * scale * estimator.map_scale)
        lines, weights = blur_lines(blocks, config, scale)
        lines = cv2.resize(lines, size, dst=array("lines", *area, 2))
        weights = cv2.resize(weights * motion.reach, size, dst=array("weights", *area))
        margin = int(config.longest_blur * scale / 2) + 2
        for top, bottom, left, right in _parts(motion.reach, estimator):
            outer = np.s_[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]
            picture = array("picture", *frame[outer].shape)
            np.multiply(frame[outer], covers[outer], out=picture)
            picture += colours[outer]
            blurred = line_blur(picture, lines[outer], estimator.workspace)
            weight = weights[outer]
            mixed = cv2.blendLinear(blurred, picture, weight, 1 - weight, dst=array("mixed", *picture.shape))
            # Not the margin: there the blur lacks the pixels further out.
            inner, row, column = np.s_[top:bottom, left:right], top - outer[0].start, left - outer[1].start
            mixed = mixed[row : row + bottom - top, column : column + right - left]
            # Only where there is an effect, or float errors could touch what stands still.
            changes = mask[inner].astype(np.uint8)
            result[inner] = cv2.copyTo(cv2.convertScaleAbs(mixed), changes, result[inner].copy())
    return Degraded(frame=result, mask=mask, flow=motion.full_flow)


def _parts(reach: np.ndarray, estimator: MotionEstimator) -> list[tuple[int, int, int, int]]:
    """Boxes (top, bottom, left, right) of the frame that hold all of `reach` and do not overlap."""
    _, _, statistics, _ = cv2.connectedComponentsWithStats((reach > 0).astype(np.uint8))
    ratio, (width, height) = estimator.map_scale, estimator.size
    boxes: list[tuple[int, int, int, int]] = []
    for x, y, columns, rows, _ in statistics[1:]:
        # Enlarged to the frame, the reach goes a pixel of the map further.
        box = (
            max(int((y - 2) / ratio), 0),
            min(int((y + rows + 2) / ratio) + 1, height),
            max(int((x - 2) / ratio), 0),
            min(int((x + columns + 2) / ratio) + 1, width),
        )
        while touching := next((other for other in boxes if _overlap(box, other)), None):
            boxes.remove(touching)
            box = (*map(min, box[::2], touching[::2]), *map(max, box[1::2], touching[1::2]))
            box = (box[0], box[2], box[1], box[3])
        boxes.append(box)
    return boxes


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


def _check(frame: np.ndarray, shape: tuple[int, ...]) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(f"a frame is {frame.dtype} of shape {frame.shape}, expected uint8 `h w c` with 3 channels")
    if frame.shape != shape:
        raise ValueError(
            f"a frame is {frame.shape[1]}x{frame.shape[0]} after one of {shape[1]}x{shape[0]}: "
            "give frames of one size, one clip at a time"
        )
