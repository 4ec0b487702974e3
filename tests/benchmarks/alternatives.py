"""Other ways to compute sparse local attention, on the same tokens: what our plain form is compared with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import reduce
from torch import Tensor
from torch.nn import functional

from gvr_core.attention import TokenGrid

WINDOW, TOP_K = (9, 12), 1


def masked_attention(grid: TokenGrid, heads: int, dim: int) -> Callable[[], Tensor]:
    """Full attention with a dense mask; selection and mask are made before, for nothing."""
    q, k, v, selected = _windows(grid, heads, dim)
    size = WINDOW[0] * WINDOW[1]
    windows = torch.zeros(1, heads, q.shape[2] // size, q.shape[2] // size, dtype=torch.bool)
    windows.scatter_(-1, selected, True)
    mask = windows.repeat_interleave(size, dim=-1).repeat_interleave(size, dim=-2)
    return lambda: functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def flex_attention_blocks(grid: TokenGrid, heads: int, dim: int) -> Callable[[], Tensor]:
    """FlexAttention, compiled, with a block of the mask for each window; selection and mask are made before.

    Raises:
        RuntimeError: on the first call, where nothing can be compiled.
    """
    from torch.nn.attention.flex_attention import BlockMask, flex_attention

    q, k, v, selected = _windows(grid, heads, dim)
    blocks = selected.shape[2]
    indices = torch.zeros(1, heads, blocks, blocks, dtype=torch.int32)
    indices[..., : selected.shape[-1]] = selected.sort(dim=-1).values
    counts = torch.full((1, heads, blocks), selected.shape[-1], dtype=torch.int32)
    none = torch.zeros_like(counts)
    mask = BlockMask.from_kv_blocks(none, torch.zeros_like(indices), counts, indices, BLOCK_SIZE=WINDOW[0] * WINDOW[1])
    compiled = torch.compile(flex_attention, dynamic=False)
    return lambda: compiled(q, k, v, block_mask=mask)


def _windows(grid: TokenGrid, heads: int, dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random q, k, v, their tokens in the order of windows that divide the grid, `b heads n d`, and the selection."""
    generator = torch.Generator().manual_seed(0)
    count = grid.length // (WINDOW[0] * WINDOW[1])
    q, k, v = (torch.randn(1, heads, grid.length, dim, generator=generator) for _ in range(3))
    q_mean, k_mean = (reduce(x, "b heads (n l) d -> b heads n d", "mean", n=count) for x in (q, k))
    scores = q_mean @ k_mean.transpose(-1, -2)
    scores.diagonal(dim1=-2, dim2=-1).fill_(float("inf"))  # the own window is always attended
    return q, k, v, scores.topk(1 + TOP_K, dim=-1).indices
