"""A picture that puts versions of one frame side by side, with enlarged details below each."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .metrics import laplacian_energy_map

_BACKGROUND = (24, 26, 31)
_INK = (236, 236, 232)
_FAINT = (150, 154, 160)
_MARKS = ((255, 183, 50), (64, 196, 255), (255, 110, 150))
_COLUMN = 720  # widest column; larger pictures are shrunk for the overview, their details are not
_NARROWEST = 240
_GAP, _LABEL = 12, 40
_FONT = cv2.FONT_HERSHEY_DUPLEX


def comparison_sheet(
    pictures: Sequence[tuple[str, np.ndarray]], *, crops: int = 2, zoom: int = 4, reference: np.ndarray | None = None
) -> np.ndarray:
    """A sheet, `h w c` uint8 RGB: one column a picture with its label, the whole picture and its enlarged details.

    Details are the parts of the reference with the most Laplacian energy that keep a distance from each other, marked
    in the whole pictures. They are enlarged without smoothing, so that a pixel stays a pixel; a smaller picture, such
    as the input, is enlarged more, to the same part of the scene.

    Args:
        pictures: Labels and pictures `h w c` uint8 RGB of one shape up to scale.
        crops: Details below each picture, 1 to 3.
        zoom: Sheet pixels for a pixel of the reference.
        reference: Picture that decides where the details are, such as the ground truth; the last one when None.

    Raises:
        ValueError: no pictures, not `h w 3` uint8, different aspect ratios, crops or zoom out of range.
    """
    if not pictures:
        raise ValueError("there are no pictures to compare: give at least one")
    if not 1 <= crops <= len(_MARKS):
        raise ValueError(f"cannot show {crops} details, expected 1 to {len(_MARKS)}")
    if not 1 <= zoom <= 32:
        raise ValueError(f"cannot enlarge {zoom} times, expected 1 to 32")
    reference = pictures[-1][1] if reference is None else reference
    for label, picture in [*pictures, ("reference", reference)]:
        _check(label, picture, reference)
    height, width = reference.shape[:2]
    column = min(max(width, _NARROWEST), _COLUMN)
    cell = (column - (crops - 1) * _GAP) // crops
    side = max(min(cell // zoom, height, width), 1)
    corners = _detailed_parts(reference, side, crops)
    columns = [_column(label, picture, reference, column, corners, side, cell) for label, picture in pictures]
    gap = np.full((columns[0].shape[0], 2 * _GAP, 3), _BACKGROUND, np.uint8)
    row = np.concatenate([part for picture in columns for part in (picture, gap)][:-1], axis=1)
    return cv2.copyMakeBorder(row, _GAP, 2 * _GAP, 2 * _GAP, 2 * _GAP, cv2.BORDER_CONSTANT, value=_BACKGROUND)


def _column(
    label: str,
    picture: np.ndarray,
    reference: np.ndarray,
    width: int,
    corners: list[tuple[int, int]],
    side: int,
    cell: int,
) -> np.ndarray:
    scale = width / reference.shape[1]
    overview = _resize(picture, round(reference.shape[0] * scale), width)
    details = []
    for (top, left), mark in zip(corners, _MARKS, strict=False):
        first, last = (left * scale, top * scale), ((left + side) * scale - 1, (top + side) * scale - 1)
        for colour, thickness in ((_BACKGROUND, 4), (mark, 2)):
            cv2.rectangle(overview, _pixel(first), _pixel(last), colour, thickness)
        detail = _detail(picture, reference, top, left, side, cell)
        cv2.rectangle(detail, (0, 0), (cell - 1, cell - 1), mark, 3)
        details.append(detail)
    strip = np.full((cell, width, 3), _BACKGROUND, np.uint8)
    for number, detail in enumerate(details):
        start = number * (cell + _GAP)
        strip[:, start : start + cell] = detail
    gap = np.full((_GAP, width, 3), _BACKGROUND, np.uint8)
    return np.concatenate([_heading(label, picture, width), overview, gap, strip])


def _heading(label: str, picture: np.ndarray, width: int) -> np.ndarray:
    heading = np.full((_LABEL, width, 3), _BACKGROUND, np.uint8)
    size = f"{picture.shape[1]} x {picture.shape[0]}"
    (size_width, _), _ = cv2.getTextSize(size, _FONT, 0.5, 1)
    (length, _), _ = cv2.getTextSize(label, _FONT, 0.75, 1)
    scale = 0.75 * min(1.0, (width - size_width - _GAP) / max(length, 1))
    cv2.putText(heading, label, (0, _LABEL - 12), _FONT, scale, _INK, 1, cv2.LINE_AA)
    cv2.putText(heading, size, (width - size_width, _LABEL - 12), _FONT, 0.5, _FAINT, 1, cv2.LINE_AA)
    return heading


def _detailed_parts(reference: np.ndarray, side: int, count: int) -> list[tuple[int, int]]:
    """Corners (top, left) of squares, the most detailed first; fewer than `count` where no more fit."""
    energy = cv2.integral(laplacian_energy_map(reference))
    sums = energy[side:, side:] - energy[:-side, side:] - energy[side:, :-side] + energy[:-side, :-side]
    corners: list[tuple[int, int]] = []
    while len(corners) < count and np.isfinite(sums.max()):
        top, left = (int(i) for i in np.unravel_index(np.argmax(sums), sums.shape))
        corners.append((top, left))
        # A part's width of distance, or all details would show the same thing.
        apart = 2 * side
        sums[max(top - apart, 0) : top + apart, max(left - apart, 0) : left + apart] = -np.inf
    return corners


def _detail(picture: np.ndarray, reference: np.ndarray, top: int, left: int, side: int, cell: int) -> np.ndarray:
    """The nearest pixel of `picture` for every pixel of the cell."""
    steps = (np.arange(cell) + 0.5) * side / cell
    rows = ((top + steps) * picture.shape[0] / reference.shape[0]).astype(int)
    columns = ((left + steps) * picture.shape[1] / reference.shape[1]).astype(int)
    return np.ascontiguousarray(picture[rows[:, None], columns[None]])


def _resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    how = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_NEAREST
    return cv2.resize(picture, (width, height), interpolation=how).copy()


def _pixel(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0]), round(point[1])


def _check(label: str, picture: np.ndarray, reference: np.ndarray) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise ValueError(
            f"picture '{label}' is {picture.dtype} of shape {picture.shape}, expected uint8 `h w c` with 3 channels"
        )
    (height, width), (other_height, other_width) = picture.shape[:2], reference.shape[:2]
    # A pixel of the smaller picture may be lost to rounding on each side.
    if abs(height * other_width - width * other_height) > max(height, width, other_height, other_width):
        raise ValueError(
            f"picture '{label}' is {width}x{height}, the reference is {other_width}x{other_height}: "
            "they need one aspect ratio to be compared"
        )
