"""Sparse local attention: each window attends to itself and to the few most relevant windows of the video (S 4.4).

The attended keys are the concatenated windows: where windows overlap (see `windows`), a key in two attended windows
counts twice. If the windows divide the frame and all are selected, the result is that of full attention.

Every window is one batch entry of an ordinary attention without a mask, so each vendor's own fast kernel does the work.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .full import DenseAttention, SharedTokens, full_attention
from .gathering import gather_rows
from .grid import TokenGrid
from .layout import WindowLayout
from .portions import Portions, choose_portions
from .selection import candidates_of
from .window_bands import band_attention, bands_at_once
from .windows import merge_windows, split_windows, window_means, write_windows

EXTRA_BYTES = 2**30
"""Memory that one call may take beside its inputs and its result, by default; see `sparse_local_attention`."""


def sparse_local_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: WindowLayout,
    *,
    dense: DenseAttention,
    shared: SharedTokens | None = None,
    extra_bytes: int = EXTRA_BYTES,
) -> Tensor:
    """Attention of every window to itself, to the best reference window and to `top_k` others.

    A window of the target selects among the windows of its unit and of the references; a window of a reference among
    all. With references, the best reference window has a slot of its own beside the `top_k`, so that it is always
    attended ("ours"); for a window of a reference that is the best other one, if there is one.

    Args:
        q: `b heads (t h w) d`, reference frames last; k and v alike.
        k: See `q`.
        v: See `q`.
        layout: The windows, and how many others each attends to.
        dense: The attention operation; called with windows in the batch dimension.
        shared: Keys and values that every window attends to besides.
        extra_bytes: Bound of the memory taken beside inputs and result, as far as the keys and values of one head, the
            queries of one frame and what one window attends to allow. Gradients keep all copies.

    Returns:
        `b heads (t h w) d`.
    """
    needs_gradient = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    is_plain = dense is full_attention and shared is None and not needs_gradient
    # Compilers see through whole tensors, not through buffers that are used again.
    if q.device.type == "cpu" and is_plain and not torch.compiler.is_compiling():
        at_once = bands_at_once(layout, q, extra_bytes)
        if at_once:
            return band_attention(q, k, v, layout, at_once)
    portions = choose_portions(layout, q, shared, extra_bytes=extra_bytes, keeps_copies=needs_gradient)
    groups = [slice(start, start + portions.heads) for start in range(0, q.shape[1], portions.heads)]
    shape = layout.window, layout.shift

    def attend(sample: int, heads: slice) -> Iterator[tuple[slice, TokenGrid, Tensor]]:
        part = slice(sample, sample + 1), heads
        own_shared = None if shared is None else SharedTokens(shared.k[part], shared.v[part])
        return _attend_heads(q[part], k[part], v[part], layout, portions, dense, own_shared)

    if needs_gradient:
        samples = []
        for sample in range(len(q)):
            pieces = [[merge_windows(x, grid, *shape) for _, grid, x in attend(sample, heads)] for heads in groups]
            samples.append(torch.cat([torch.cat(tokens, dim=2) for tokens in pieces], dim=1))
        return torch.cat(samples)
    # Written piece by piece: put together at the end, the result would be there twice.
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    for sample in range(len(q)):
        for heads in groups:
            for tokens, grid, windows in attend(sample, heads):
                write_windows(windows, out[sample : sample + 1, heads, tokens], grid, *shape)
                del windows  # before the next ones are made
    return out


def _attend_heads(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: WindowLayout,
    portions: Portions,
    dense: DenseAttention,
    shared: SharedTokens | None,
) -> Iterator[tuple[slice, TokenGrid, Tensor]]:
    """Heads `1 heads (t h w) d` of one sample, some frames at a time: their tokens, grid and result `1 n heads l d`."""
    grid, per_frame, shape = layout.grid, layout.per_frame, (layout.window, layout.shift)
    means = [
        window_means(x.detach().unflatten(2, (-1, grid.height, grid.width)), *shape)  # 1 heads t h w d -> 1 heads n d
        for x in (q, k)
    ]
    k, v = (split_windows(x, grid, *shape)[0] for x in (k, v))  # n heads l d
    for part in candidates_of(*means, layout):
        first, last = part.queries.start // per_frame, part.queries.stop // per_frame
        for start in range(first, last, portions.frames):
            stop = min(start + portions.frames, last)
            tokens = slice(start * grid.frame_length, stop * grid.frame_length)
            piece = TokenGrid(frames=stop - start, references=0, height=grid.height, width=grid.width)
            selected = part.choose((start - first) * per_frame, (stop - first) * per_frame)[0]
            windows = split_windows(q[:, :, tokens], piece, *shape)[0]
            yield tokens, piece, _attend_windows(windows, k, v, selected, dense, shared, portions.windows)


def _attend_windows(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    selected: Tensor,
    dense: DenseAttention,
    shared: SharedTokens | None,
    at_once: int,
) -> Tensor:
    """Windows `n heads l d` attend to those of k and v with the numbers `selected`, `heads n s` -> `1 n heads l d`."""
    heads, dim = q.shape[1], q.shape[3]
    # One row of k and v per window and head: gathering moves whole windows, never single tokens.
    rows = selected.transpose(0, 1) * heads + torch.arange(heads, device=k.device)[:, None]  # n heads s
    k, v = (x.flatten(2).flatten(0, 1) for x in (k, v))  # (n heads) (l d)
    outputs = []
    for q_chunk, row_chunk in zip(q.split(at_once), rows.split(at_once), strict=True):
        gathered = [gather_rows(x, row_chunk.flatten()).view(len(row_chunk), heads, -1, dim) for x in (k, v)]
        if shared is not None:
            extra = (x.expand(len(row_chunk), -1, -1, -1) for x in shared)
            gathered = [torch.cat(pair, dim=2) for pair in zip(gathered, extra, strict=True)]
        outputs.append(dense(q_chunk, *gathered))
        del gathered  # before the next ones are made
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs))[None]
