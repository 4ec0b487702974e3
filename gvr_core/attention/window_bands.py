"""Sparse local attention on a CPU: a few bands of windows at a time, in buffers that stay in the cache.

The result is that of `sparse_local`, whose large copies cost a CPU more than the arithmetic: fresh memory has to be
mapped page by page. Here nothing is copied as a whole; queries, gathered keys, scores and results live in small buffers
that are used again and again. The explicit form matmul, softmax, matmul is faster than the fused kernel on blocks of
this size, most of all in bfloat16. Without gradients only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from .layout import WindowLayout
from .selection import candidates_of
from .windows import axis_spans, window_means, window_tokens

WINDOWS_PER_THREAD = 5
"""Windows of one head that a thread works on together; 9 x 12 of 128 channels then fit a core's cache."""


@dataclass(frozen=True)
class Band:
    """One row of windows in one frame: the rows it covers, and those of them that it gives the result of."""

    frame: int
    top: int
    first_own: int
    end_own: int


def bands_at_once(layout: WindowLayout, q: Tensor, extra_bytes: int) -> int:
    """Bands to work on together: as many as the cache likes, fewer where their buffers would take more than
    `extra_bytes`, 0 where not even one fits."""
    columns, length, dim = len(_spans(layout, 1)), layout.length, q.shape[3]
    keys = length * layout.most_attended
    # Gathered keys and values, scores and their softmax, queries and results; the numbers of the keys.
    numbers = 2 * keys * dim + 2 * length * keys + 2 * length * dim
    band = columns * (numbers * q.element_size() + 8 * keys)
    # One head's keys and values may have to be copied, and the numbers of all tokens are there.
    rest = layout.grid.length * (2 * dim * q.element_size() + 8)
    cached = max(1, round(WINDOWS_PER_THREAD * torch.get_num_threads() / columns))
    return min(cached, max(0, extra_bytes - rest) // band)


def band_attention(q: Tensor, k: Tensor, v: Tensor, layout: WindowLayout, at_once: int) -> Tensor:
    """As `sparse_local_attention` with the plain dense operation, `at_once` bands at a time."""
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    for sample in range(len(q)):
        for head in range(q.shape[1]):
            one = slice(head, head + 1)
            _attend_head(*(x[sample : sample + 1, one] for x in (q, k, v, out)), layout, at_once)
    return out


def _attend_head(q: Tensor, k: Tensor, v: Tensor, out: Tensor, layout: WindowLayout, at_once: int) -> None:
    """One head, `1 1 n d` each; writes into `out`."""
    grid, shape = layout.grid, (layout.window, layout.shift)
    bands = [Band(frame, *row) for frame in range(grid.total_frames) for row in _spans(layout, 0)]
    copies, columns = _BandCopies(layout), len(_spans(layout, 1))
    q_frames, k_frames, out_frames = (
        rearrange(x, "1 1 (t h w) d -> t h w d", h=grid.height, w=grid.width) for x in (q, k, out)
    )
    means = [window_means(x, *shape)[None, None] for x in (q_frames, k_frames)]
    tokens = window_tokens(grid, *shape)
    for part in candidates_of(*means, layout):
        selected = part.choose(0, part.queries.stop - part.queries.start)[0, 0]
        workspace = _Workspace(
            k[0, 0], v[0, 0], keys=selected.shape[1] * layout.length, length=layout.length, windows=at_once * columns
        )
        first, last = part.queries.start // columns, part.queries.stop // columns
        for start in range(first, last, at_once):
            piece = bands[start : min(start + at_once, last)]
            for band, windows in zip(piece, workspace.queries.split(columns), strict=False):
                copies.read(q_frames, band, windows)
            offset = (start - first) * columns
            attended = workspace.attend(tokens[selected[offset : offset + len(piece) * columns]].flatten(1))
            for band, windows in zip(piece, attended.split(columns), strict=True):
                copies.write(windows, out_frames, band)


def _spans(layout: WindowLayout, axis: int) -> list[tuple[int, int, int]]:
    length = (layout.grid.height, layout.grid.width)[axis]
    return axis_spans(length, layout.window[axis], layout.shift[axis])


class _BandCopies:
    """Copies a band into windows and back; whole windows side by side in one go."""

    def __init__(self, layout: WindowLayout) -> None:
        self.height, self.width = layout.window
        spans = _spans(layout, 1)
        # (number of the window, start, first own and end of own columns) of windows that overlap a neighbour.
        self.partial = [(n, *span) for n, span in enumerate(spans) if span[2] - span[1] < self.width]
        whole = [(n, *span) for n, span in enumerate(spans) if span[2] - span[1] == self.width]
        self.windows = slice(whole[0][0], whole[-1][0] + 1) if whole else slice(0, 0)
        self.cells = slice(whole[0][1], whole[-1][3]) if whole else slice(0, 0)

    def read(self, frames: Tensor, band: Band, windows: Tensor) -> None:
        """The band of `t h w d` into its windows, `columns l d`."""
        rows = frames[band.frame, band.top : band.top + self.height]
        windows = windows.unflatten(1, (self.height, self.width))
        # Not by einops: this runs so often that parsing a pattern would count.
        windows[self.windows] = rows[:, self.cells].unflatten(1, (-1, self.width)).transpose(0, 1)
        for number, start, _, _ in self.partial:
            windows[number] = rows[:, start : start + self.width]

    def write(self, windows: Tensor, frames: Tensor, band: Band) -> None:
        """What the band's windows `columns l d` give, into `t h w d`."""
        rows = frames[band.frame, band.first_own : band.end_own]
        windows = windows.unflatten(1, (self.height, self.width))[:, band.first_own - band.top :][:, : len(rows)]
        if self.cells.stop:
            cells = rows[:, self.cells].unflatten(1, (-1, self.width))
            cells.copy_(windows[self.windows].transpose(0, 1))
        for number, start, first_own, end_own in self.partial:
            rows[:, first_own:end_own] = windows[number, :, first_own - start : end_own - start]


class _Workspace:
    """Buffers for the queries, keys, values, scores and results of a piece, used again for every piece."""

    def __init__(self, k: Tensor, v: Tensor, *, keys: int, length: int, windows: int) -> None:
        """Takes one head's keys and values `n d`, keys and queries of a window, and windows worked on together."""
        # Rows are gathered, which is quick only where they lie one behind the other.
        self.k, self.v, self.scale = k.contiguous(), v.contiguous(), k.shape[1] ** -0.5
        self.keys, self.values = k.new_empty(windows, keys, k.shape[1]), k.new_empty(windows, keys, k.shape[1])
        self.queries, self.scores = k.new_empty(windows, length, k.shape[1]), k.new_empty(windows, length, keys)
        self.results = torch.empty_like(self.queries)

    def attend(self, chosen: Tensor) -> Tensor:
        """What the first n windows of `queries` find in the tokens `n keys` -> `n l d`, valid until the next call."""
        n = len(chosen)
        rows, keys, values, scores = chosen.flatten(), self.keys[:n], self.values[:n], self.scores[:n]
        torch.index_select(self.k, 0, rows, out=keys.flatten(0, 1))
        torch.index_select(self.v, 0, rows, out=values.flatten(0, 1))
        # beta 0: what the buffer holds is not read.
        torch.baddbmm(scores, self.queries[:n], keys.mT, beta=0, alpha=self.scale, out=scores)
        return torch.bmm(scores.softmax(dim=-1), values, out=self.results[:n])
