"""Sparse local attention: each window attends to itself and to the few most relevant windows of the video (S 4.4).

Relevance is mean-pooled query . mean-pooled key, per head and per window, as in MoBA. The attended keys are
the concatenated windows: where windows overlap (see `windows`), a key in two attended windows counts twice. If the
windows divide the frame and all are selected, the result is that of full attention.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from einops import rearrange
from torch import Tensor

from .full import DenseAttention
from .grid import TokenGrid
from .windows import fit_shift, fit_window, merge_windows, split_windows, windows_per_frame

# Window copies and gathered keys take about eight times this at a time; heads are independent, so they go in groups.
GROUP_BYTES = 2**27
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

    Returns:
        `b heads (t h w) d`.
    """
    window = fit_window(grid, window)
    shift = fit_shift(grid, window, shift)
    per_frame = windows_per_frame(grid, window, shift)
    head_bytes = q[:, :1].numel() * q.element_size()
    group = max(1, GROUP_BYTES // head_bytes)
    outputs = []
    for group_qkv in zip(q.split(group, 1), k.split(group, 1), v.split(group, 1), strict=True):
        windows = [split_windows(x, grid, window, shift) for x in group_qkv]
        attended = _attend_windows(*windows, grid=grid, bounds=bounds, per_frame=per_frame, top_k=top_k, dense=dense)
        outputs.append(merge_windows(attended, grid, window, shift))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def select_windows(q_mean: Tensor, k_mean: Tensor, *, first: int, references: int, top_k: int) -> Tensor:
    """The candidates that each query window attends to, its own first, none twice.

    Args:
        q_mean: Mean query of each query window, `b heads n d`, float32.
        k_mean: Mean key of each candidate window, `b heads m d`, float32.
        first: Position among the candidates of the first query window; the others follow it without gaps.
        references: How many candidates, at the end, are windows of references.
        top_k: Windows beside the own one and the best reference.

    Returns:
        Positions among the candidates, int64 `b heads n s`, where s = 1 + (1 with references) + top_k, or less if there
        are fewer candidates.
    """
    batch, heads, queries, _ = q_mean.shape
    candidates = k_mean.shape[2]
    with torch.no_grad(), _autocast_off(q_mean.device.type):
        scores = q_mean @ k_mean.transpose(-1, -2)  # b heads n m
        own = torch.arange(first, first + queries, device=scores.device)
        chosen = [own[:, None].expand(batch, heads, queries, 1)]
        scores.scatter_(-1, chosen[0], float("-inf"))
        first_reference = candidates - references
        other_references = references - 1 if first >= first_reference else references
        if other_references > 0:
            best = scores[..., first_reference:].argmax(-1, keepdim=True) + first_reference
            chosen.append(best)
            scores.scatter_(-1, best, float("-inf"))
        chosen.append(scores.topk(min(top_k, candidates - len(chosen)), dim=-1).indices)
    return torch.cat(chosen, dim=-1)


def _attend_windows(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    grid: TokenGrid,
    bounds: list[tuple[int, int]],
    per_frame: int,
    top_k: int,
    dense: DenseAttention,
) -> Tensor:
    """The same on windows, `b n heads l d` with n in the order `t rows columns`: unit by unit, then the references."""
    target, references = grid.frames * per_frame, grid.references * per_frame
    q_mean, k_mean = (rearrange(_mean(x), "b n heads d -> b heads n d") for x in (q, k))
    index = torch.arange(k.shape[1], device=k.device)

    # (query windows, candidate windows, place of the first query among the candidates)
    parts = []
    for start, stop in bounds:
        unit = slice(start * per_frame, stop * per_frame)
        parts.append((unit, torch.cat([index[unit], index[target:]]), 0))
    if references:
        parts.append((slice(target, None), index, target))

    outputs = []
    for queries, candidates, first in parts:
        positions = select_windows(
            q_mean[:, :, queries], k_mean[:, :, candidates], first=first, references=references, top_k=top_k
        )
        outputs.append(_attend_selected(q[:, queries], k, v, candidates[positions], dense))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def _attend_selected(q: Tensor, k: Tensor, v: Tensor, selected: Tensor, dense: DenseAttention) -> Tensor:
    """Attention of windows `b n heads l d` to those of k and v with the indices `selected`, `b heads n s`."""
    batch, queries, heads, _, dim = q.shape
    # One row of k and v per window and head: gathering moves whole windows, never single tokens.
    b = torch.arange(batch, device=k.device)[:, None, None, None]
    head = torch.arange(heads, device=k.device)[None, :, None, None]
    rows = rearrange((b * k.shape[1] + selected) * heads + head, "b heads n s -> (b n) heads s")
    k, v = (rearrange(x, "b n heads l d -> (b n heads) (l d)") for x in (k, v))

    outputs = []
    for q_chunk, row_chunk in zip(q.flatten(0, 1).split(MAX_BATCH), rows.split(MAX_BATCH), strict=True):
        gathered = (x.index_select(0, row_chunk.flatten()).view(len(row_chunk), heads, -1, dim) for x in (k, v))
        outputs.append(dense(q_chunk, *gathered))
    out = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return out.unflatten(0, (batch, queries))


def _mean(x: Tensor) -> Tensor:
    """Mean over the tokens of each window, `b n heads l d` -> `b n heads d`, float32."""
    return x.detach().mean(dim=3, dtype=torch.float32)


def _autocast_off(device: str) -> AbstractContextManager[None]:
    """Keeps scores in float32: autocast would round them, and training would select other windows than sampling."""
    # Only where it is on: meta tensors and DirectML raise as soon as the context is made.
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()
