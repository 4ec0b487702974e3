"""The one entry to self-attention: which form runs is the config's choice."""

from __future__ import annotations

from torch import Tensor

from .config import AttentionConfig
from .full import DenseAttention, SharedTokens, full_attention
from .grid import TokenGrid
from .layout import WindowLayout
from .sparse_local import EXTRA_BYTES, sparse_local_attention
from .temporal_units import unit_attention, unit_bounds


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    grid: TokenGrid,
    layer: int,
    config: AttentionConfig,
    dense: DenseAttention = full_attention,
    shared: SharedTokens | None = None,
    extra_bytes: int = EXTRA_BYTES,
) -> Tensor:
    """Self-attention of a video's tokens in the form that `config` names (S 4.4).

    Args:
        q: `b heads n d`, tokens in the order `t h w`, reference frames last, RoPE already applied; k and v alike.
        k: See `q`.
        v: See `q`.
        grid: Where the tokens lie; its length is n.
        layer: Index of the transformer block from 0; odd layers shift the temporal units and the windows.
        config: The form of attention.
        dense: The inner operation, always called as (q, k, v) on `b heads n d` without a mask; a host puts its own
            kernel here.
        shared: Keys and values that every query attends to besides, in every form.
        extra_bytes: Bound of the memory that sparse local attention takes beside inputs and result; see there.

    Returns:
        `b heads n d`.

    Raises:
        ValueError: The shapes of q, k and v differ or do not fit the grid.
    """
    if not q.shape == k.shape == v.shape or q.ndim != 4:
        raise ValueError(
            f"q, k and v have shapes {tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}, expected one shape "
            "`b heads n d`: this is self-attention, use the dense operation for other keys"
        )
    if q.shape[2] != grid.length:
        raise ValueError(
            f"sequence has {q.shape[2]} tokens, the grid of {grid.frames} frames and {grid.references} reference "
            f"frames of {grid.height}x{grid.width} tokens expects {grid.length}: build the grid from the same latent"
        )
    if layer in config.dense_layers:
        return unit_attention(q, k, v, grid=grid, bounds=[(0, grid.frames)], dense=dense, shared=shared)
    bounds = [(0, grid.frames)]
    if config.unit:
        bounds = unit_bounds(grid.frames, config.unit, shifted=layer % 2 == 1, shift=config.unit_shift)
    if config.kind == "full":
        return unit_attention(q, k, v, grid=grid, bounds=bounds, dense=dense, shared=shared)
    height, width = config.window
    shift = (height // 2, width // 2) if config.window_shift and layer % 2 == 1 else (0, 0)
    layout = WindowLayout.fit(grid, bounds, config.window, shift, config.top_k)
    return sparse_local_attention(q, k, v, layout, dense=dense, shared=shared, extra_bytes=extra_bytes)
