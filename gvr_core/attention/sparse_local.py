"""Sparse local attention: each window attends to itself and to the few most relevant windows of the video (S 4.4).

The attended keys are the concatenated windows: where windows overlap (see `windows`), a key in two attended windows
counts twice. If the windows divide the frame and all are selected, the result is that of full attention.

Every window is one batch entry of an ordinary attention without a mask, so each vendor's own fast kernel does the work.
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor

from .full import DenseAttention, SharedTokens, full_attention
from .grid import TokenGrid
from .selection import select_for_grid
from .window_bands import band_attention
from .windows import fit_shift, fit_window, merge_windows, split_windows

EXTRA_BYTES = 2**30
"""Memory that one call may take beside its inputs and its result, by default; see `sparse_local_attention`."""
COPIES = 5
"""Tensors of the queries' size that live as long as a group of heads: windows of q, k, v and of the result, result."""
# CUDA attention kernels fail above 65,535 in the batch dimension, some earlier, when element counts pass 32 bits.
MAX_BATCH = 2**12


def sparse_local_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    grid: TokenGrid,
    bounds: list[tuple[int, int]],
    window: tuple[int, int],
    top_k: int,
    dense: DenseAttention,
    shift: tuple[int, int] = (0, 0),
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
        grid: Where the tokens lie.
        bounds: (start, stop) frames of each temporal unit; one pair for the whole video without units.
        window: Height and width in tokens; shrunk to the frame if the frame is smaller.
        top_k: Other windows per window and head; more than there are means all.
        dense: The attention operation; called with windows in the batch dimension.
        shift: Rows and columns before the first whole window; 0 along an axis that one window covers.
        shared: Keys and values that every window attends to besides.
        extra_bytes: Bound of the memory taken for copies, as far as one head allows. Half of it is for the windows of
            a group of heads, half for the keys and values gathered for a number of windows. Gradients keep all copies.

    Returns:
        `b heads (t h w) d`.
    """
    window = fit_window(grid, window)
    shift = fit_shift(grid, window, shift)
    layout = {"grid": grid, "bounds": bounds, "top_k": top_k}
    needs_gradient = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    if q.device.type == "cpu" and dense is full_attention and shared is None and not needs_gradient:
        return band_attention(q, k, v, window=window, shift=shift, **layout)
    head_bytes = q[:, :1].numel() * q.element_size()
    group = max(1, extra_bytes // 2 // (COPIES * head_bytes))
    outputs = []
    for start in range(0, q.shape[1], group):
        heads = slice(start, start + group)
        windows = [split_windows(x[:, heads], grid, window, shift) for x in (q, k, v)]
        group_shared = None if shared is None else SharedTokens(shared.k[:, heads], shared.v[:, heads])
        attended = _attend_windows(*windows, shared=group_shared, dense=dense, gather_bytes=extra_bytes // 2, **layout)
        outputs.append(merge_windows(attended, grid, window, shift))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def _attend_windows(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    grid: TokenGrid,
    bounds: list[tuple[int, int]],
    top_k: int,
    dense: DenseAttention,
    shared: SharedTokens | None,
    gather_bytes: int,
) -> Tensor:
    """The same on windows, `b n heads l d` with n in the order `t rows columns`: unit by unit, then the references."""
    q_mean, k_mean = (rearrange(_mean(x), "b n heads d -> b heads n d") for x in (q, k))
    parts = select_for_grid(q_mean, k_mean, grid=grid, bounds=bounds, top_k=top_k)
    outputs = [
        _attend_selected(q[:, queries], k, v, selected, dense, shared, gather_bytes) for queries, selected in parts
    ]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def _attend_selected(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    selected: Tensor,
    dense: DenseAttention,
    shared: SharedTokens | None,
    gather_bytes: int,
) -> Tensor:
    """Attention of windows `b n heads l d` to those of k and v with the indices `selected`, `b heads n s`."""
    batch, queries, heads, length, dim = q.shape
    # Keys and values, and with shared tokens a second time while they are put together.
    keys = selected.shape[-1] * length * (2 if shared is None else 4) + (0 if shared is None else 4 * shared.k.shape[2])
    chunk = min(MAX_BATCH, max(1, gather_bytes // (heads * keys * dim * q.element_size())))
    # One row of k and v per window and head: gathering moves whole windows, never single tokens.
    b = torch.arange(batch, device=k.device)[:, None, None, None]
    head = torch.arange(heads, device=k.device)[None, :, None, None]
    rows = rearrange((b * k.shape[1] + selected) * heads + head, "b heads n s -> b n heads s")
    k, v = (rearrange(x, "b n heads l d -> (b n heads) (l d)") for x in (k, v))

    # Without shared tokens samples need not be told apart, and all their windows are one batch.
    if shared is None:
        samples = [(q.flatten(0, 1), rows.flatten(0, 1), None)]
    else:
        samples = [(q[i], rows[i], SharedTokens(shared.k[i], shared.v[i])) for i in range(batch)]
    outputs = []
    for windows, window_rows, sample_shared in samples:
        for q_chunk, row_chunk in zip(windows.split(chunk), window_rows.split(chunk), strict=True):
            gathered = [x.index_select(0, row_chunk.flatten()).view(len(row_chunk), heads, -1, dim) for x in (k, v)]
            if sample_shared is not None:
                extra = (repeat(x, "heads m d -> n heads m d", n=len(row_chunk)) for x in sample_shared)
                gathered = [torch.cat(pair, dim=2) for pair in zip(gathered, extra, strict=True)]
            outputs.append(dense(q_chunk, *gathered))
    out = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return out.unflatten(0, (batch, queries))


def _mean(x: Tensor) -> Tensor:
    """Mean over the tokens of each window, `b n heads l d` -> `b n heads d`, float32."""
    return x.detach().mean(dim=3, dtype=torch.float32)
