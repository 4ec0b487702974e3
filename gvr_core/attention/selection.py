"""Which windows each window attends to (S 4.4): its own, the best reference, and the few most relevant others.

Relevance is mean-pooled query . mean-pooled key, per head and per window, as in MoBA. Choosing is not differentiable;
the gradient flows through what was chosen.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from .grid import TokenGrid


def select_for_grid(
    q_mean: Tensor, k_mean: Tensor, *, grid: TokenGrid, bounds: list[tuple[int, int]], top_k: int
) -> list[tuple[slice, Tensor]]:
    """The windows that every window of a video attends to, unit by unit and then the references.

    A window of the target selects among the windows of its unit and of the references; a window of a reference among
    all.

    Args:
        q_mean: mean query of each window, `b heads n d`, float32, windows in the order `t rows columns`.
        k_mean: mean key of each window, likewise.
        grid: frames and references.
        bounds: (start, stop) frames of each temporal unit; one pair for the whole video without units.
        top_k: windows beside the own one and the best reference.

    Returns:
        Pairs of a slice of windows and what they attend to, int64 `b heads n s`; s may differ between the pairs.
    """
    per_frame = q_mean.shape[2] // grid.total_frames
    target, references = grid.frames * per_frame, grid.references * per_frame
    index = torch.arange(q_mean.shape[2], device=q_mean.device)

    # (query windows, candidate windows, place of the first query among the candidates)
    parts = []
    for start, stop in bounds:
        unit = slice(start * per_frame, stop * per_frame)
        parts.append((unit, torch.cat([index[unit], index[target:]]), 0))
    if references:
        parts.append((slice(target, target + references), index, target))

    selected = []
    for queries, candidates, first in parts:
        positions = select_windows(
            q_mean[:, :, queries], k_mean[:, :, candidates], first=first, references=references, top_k=top_k
        )
        selected.append((queries, candidates[positions]))
    return selected


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
        others = min(top_k, candidates - len(chosen))
        # The one best of thousands is found several times faster than a sorted choice of one.
        chosen.append(scores.argmax(-1, keepdim=True) if others == 1 else scores.topk(others, dim=-1).indices)
    return torch.cat(chosen, dim=-1)


def _autocast_off(device: str) -> AbstractContextManager[None]:
    """Keeps scores in float32: autocast would round them, and training would select other windows than sampling."""
    # Only where it is on: meta tensors and DirectML raise as soon as the context is made.
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()
