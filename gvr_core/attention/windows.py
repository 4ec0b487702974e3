"""Cutting the frames of a token sequence into 2-D windows and putting them together again (S 4.4).

Windows are laid from the top left. Where they do not divide the frame, the last one of a row or column is shifted back
inside ("ours"): it overlaps its neighbour, and all windows stay equally large without padding or masks. A shift starts
the whole windows further inside ("ours", after Swin): the first one is then pushed back to the edge. Everything
is slices and permuted copies, several times cheaper than gathering tokens by index. Not written as einops patterns:
torch.compile would trace the parsing of each, which took three quarters of the time that compiling took.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .grid import TokenGrid


def fit_window(grid: TokenGrid, window: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the windows on this grid: `window`, shrunk to the frame where the frame is smaller."""
    return min(window[0], grid.height), min(window[1], grid.width)


def fit_shift(grid: TokenGrid, window: tuple[int, int], shift: tuple[int, int]) -> tuple[int, int]:
    """`shift`, 0 along the axes on which one window covers the frame; `window` must fit the grid."""
    return tuple(s if size < n else 0 for s, size, n in zip(shift, window, (grid.height, grid.width), strict=True))


def windows_per_frame(grid: TokenGrid, window: tuple[int, int], shift: tuple[int, int] = (0, 0)) -> int:
    """Number of windows that cover one frame; `window` and `shift` must fit the grid."""
    rows, columns = (_count(n, size, s) for n, size, s in zip((grid.height, grid.width), window, shift, strict=True))
    return rows * columns


def axis_spans(length: int, size: int, shift: int) -> list[tuple[int, int, int]]:
    """The windows along one axis: first cell, and the range (first, end) of the cells whose result the window gives."""
    spans = []
    for _, own, cells in _segments(length, size, shift):
        count = own.stop - own.start
        spans += [(first - own.start, first, first + count) for first in range(cells.start, cells.stop, count)]
    return spans


def split_windows(x: Tensor, grid: TokenGrid, window: tuple[int, int], shift: tuple[int, int] = (0, 0)) -> Tensor:
    """The tokens of each window.

    Args:
        x: `b heads (t h w) d`.
        grid: Where the tokens lie.
        window: Height and width, not larger than the grid.
        shift: Rows and columns before the first whole window, as `fit_shift` gives them.

    Returns:
        `b (t rows columns) heads (wh ww) d`. A token that two windows cover appears in both.
    """
    height, width = window
    x = x.unflatten(2, (-1, grid.height, grid.width)).transpose(1, 2)  # b t heads h w d
    bands = [
        [
            # b t heads (rows wh) (cols ww) d -> b t rows cols heads wh ww d
            block.unflatten(4, (-1, width)).unflatten(3, (-1, height)).permute(0, 1, 3, 5, 2, 4, 6, 7)
            for block in _parts(band, 4, width, shift[1])
        ]
        for band in _parts(x, 3, height, shift[0])
    ]
    if torch.is_grad_enabled() and x.requires_grad:
        windows = _concat([_concat(blocks, dim=3) for blocks in bands], dim=2)
    else:  # each token is copied once; torch.cat along two axes would hold it three times
        rows, columns = (_segments(n, size, s) for n, size, s in zip(x.shape[3:5], window, shift, strict=True))
        counts = rows[-1].windows.stop, columns[-1].windows.stop
        windows = x.new_empty(*x.shape[:2], *counts, x.shape[2], *window, x.shape[5])
        for row, blocks in zip(rows, bands, strict=True):
            for column, block in zip(columns, blocks, strict=True):
                windows[:, :, row.windows, column.windows] = block
    return windows.flatten(5, 6).flatten(1, 3)  # b (t rows cols) heads (wh ww) d


def window_means(x: Tensor, window: tuple[int, int], shift: tuple[int, int] = (0, 0)) -> Tensor:
    """Mean of each window's tokens without copying any, `... t h w d` -> `... (t rows columns) d`, float32."""
    for axis, size, first in ((-3, window[0], shift[0]), (-2, window[1], shift[1])):
        # One axis after the other: rows of windows, then windows; what is no window yet stays as it is.
        sums = [
            part.unflatten(axis, (-1, size)).sum(dim=axis, dtype=torch.float32) for part in _parts(x, axis, size, first)
        ]
        x = _concat(sums, dim=axis)
    return x.flatten(-4, -2) / (window[0] * window[1])


def window_tokens(grid: TokenGrid, window: tuple[int, int], shift: tuple[int, int] = (0, 0)) -> Tensor:
    """The numbers of the tokens of each window, int64 `(t rows columns) (wh ww)`; arguments as in `split_windows`."""
    frame = TokenGrid(frames=1, references=0, height=grid.height, width=grid.width)
    cells = torch.arange(frame.length).reshape(1, 1, -1, 1)
    of_frame = split_windows(cells, frame, window, shift).flatten(2)  # 1 n l
    starts = frame.length * torch.arange(grid.total_frames)
    return (of_frame + starts[:, None, None]).flatten(0, 1)


def merge_windows(x: Tensor, grid: TokenGrid, window: tuple[int, int], shift: tuple[int, int] = (0, 0)) -> Tensor:
    """The tokens back in their order; windows shifted inside give only the tokens that no other window has.

    Args:
        x: `b (t rows columns) heads (wh ww) d`.
        grid: Where the tokens lie.
        window: Height and width, as given to `split_windows`.
        shift: As given to `split_windows`.

    Returns:
        `b heads (t h w) d`.
    """
    x = _by_axes(x, grid, window, shift)
    x = _join(x, 3, grid.height, shift[0])  # b heads t h cols ww d
    x = _join(x, 4, grid.width, shift[1])  # b heads t h w d
    return x.flatten(2, 4)


def write_windows(
    x: Tensor, out: Tensor, grid: TokenGrid, window: tuple[int, int], shift: tuple[int, int] = (0, 0)
) -> None:
    """As `merge_windows`, into `out`, `b heads (t h w) d`, without a copy between; no gradient passes."""
    x = _by_axes(x, grid, window, shift)
    out = out.unflatten(2, (-1, grid.height, grid.width))  # b heads t h w d
    for row in _segments(grid.height, window[0], shift[0]):
        for column in _segments(grid.width, window[1], shift[1]):
            block = x[:, :, :, row.windows, row.own, column.windows, column.own]
            target = out[:, :, :, row.cells, column.cells]
            target.unflatten(4, block.shape[5:7]).unflatten(3, block.shape[3:5]).copy_(block)


class _Segment(NamedTuple):
    """Windows of one axis that give equally many cells: which windows, which of their cells, and where these lie."""

    windows: slice
    own: slice
    cells: slice


def _segments(length: int, size: int, shift: int) -> list[_Segment]:
    segments = [_Segment(slice(0, 1), slice(0, shift), slice(0, shift))] if shift else []
    first, whole = len(segments), (length - shift) // size
    end = shift + whole * size
    if whole:
        segments.append(_Segment(slice(first, first + whole), slice(0, size), slice(shift, end)))
    if end < length:
        last = first + whole
        segments.append(_Segment(slice(last, last + 1), slice(size - length + end, size), slice(end, length)))
    return segments


def _by_axes(x: Tensor, grid: TokenGrid, window: tuple[int, int], shift: tuple[int, int]) -> Tensor:
    """`b (t rows cols) heads (wh ww) d -> b heads t rows wh cols ww d`."""
    rows = _count(grid.height, window[0], shift[0])
    x = x.unflatten(3, window).unflatten(1, (grid.total_frames, rows, -1))  # b t rows cols heads wh ww d
    return x.permute(0, 4, 1, 2, 5, 3, 6, 7)


def _count(length: int, size: int, shift: int) -> int:
    """Windows along one axis: one for the first `shift` cells, the whole ones, one for what is left."""
    return bool(shift) + -(-(length - shift) // size)


def _parts(x: Tensor, dim: int, size: int, shift: int) -> list[Tensor]:
    """Views: with a shift the first `size` cells, then the part that `size` divides, then the last `size` cells."""
    length = x.shape[dim]
    whole = (length - shift) // size * size
    parts = [x.narrow(dim, 0, size)] if shift else []
    if whole:
        parts.append(x.narrow(dim, shift, whole))
    if shift + whole < length:
        parts.append(x.narrow(dim, length - size, size))
    return parts


def _join(x: Tensor, dim: int, length: int, shift: int) -> Tensor:
    """Merge dims (count, size) at `dim` into one of `length` cells; see `merge_windows`."""
    size = x.shape[dim + 1]
    left = (length - shift) % size
    if not shift and not left:
        return x.flatten(dim, dim + 1)
    # unbind, because its backward is one stack; indexing each window would fill a tensor of zeros per window
    windows = list(x.unbind(dim))
    if shift:
        windows[0] = windows[0].narrow(dim, 0, shift)
    if left:
        windows[-1] = windows[-1].narrow(dim, size - left, left)
    return torch.cat(windows, dim)


def _concat(parts: list[Tensor], dim: int) -> Tensor:
    """torch.cat that does not copy a single part."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
