"""Which windows each window attends to (S 4.4): its own, the best reference, and the few most relevant others.

Relevance is mean-pooled query . mean-pooled key, per head and per window, as in MoBA. Choosing is not differentiable;
the gradient flows through what was chosen.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from .layout import WindowLayout

MOST_SCORES = 2**24
"""Scores that are looked at together, 64 MB; those of 4K with 153 frames are 550 MB for each head."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Windows that are queries together, and what they choose from.

    Attributes:
        queries: the query windows, counted in the order `t rows columns`.
        index: numbers of the candidates, references last.
        first: place of the first query among the candidates.
        q_mean: mean query of each query window, `b heads n d`, float32.
        k_mean: mean key of each candidate, `b heads m d`, float32.
        references: how many candidates are windows of references.
        top_k: windows beside the own one and the best reference.
    """

    queries: slice
    index: Tensor
    first: int
    q_mean: Tensor
    k_mean: Tensor
    references: int
    top_k: int

    def choose(self, start: int, stop: int) -> Tensor:
        """What the queries from `start` to `stop` attend to, counted from the first of `queries`.

        Returns:
            Numbers of windows, int64 `b heads n s`.
        """
        batch, heads, candidates, _ = self.k_mean.shape
        at_once = max(1, MOST_SCORES // (batch * heads * candidates))
        chosen = [
            select_windows(
                self.q_mean[:, :, n : min(n + at_once, stop)],
                self.k_mean,
                first=self.first + n,
                references=self.references,
                top_k=self.top_k,
            )
            for n in range(start, stop, at_once)
        ]
        return self.index[chosen[0] if len(chosen) == 1 else torch.cat(chosen, dim=2)]


def candidates_of(q_mean: Tensor, k_mean: Tensor, layout: WindowLayout) -> list[Candidates]:
    """The choices that the windows of a video have, unit by unit and then the references.

    A window of the target selects among the windows of its unit and of the references; a window of a reference among
    all.

    Args:
        q_mean: mean query of each window, `b heads n d`, float32, windows in the order `t rows columns`.
        k_mean: mean key of each window, likewise.
        layout: frames, references, temporal units and the number of windows to choose.
    """
    grid, per_frame = layout.grid, layout.per_frame
    target, references = grid.frames * per_frame, grid.references * per_frame
    index = torch.arange(q_mean.shape[2], device=q_mean.device)
    # (query windows, candidates, place of the first query among them)
    parts = []
    for start, stop in layout.bounds:
        unit = slice(start * per_frame, stop * per_frame)
        parts.append((unit, torch.cat([index[unit], index[target:]]) if references else index[unit], 0))
    if references:
        parts.append((slice(target, target + references), index, target))
    return [
        Candidates(
            queries=queries,
            index=candidates,
            first=first,
            q_mean=q_mean[:, :, queries],
            k_mean=k_mean if len(candidates) == len(index) else k_mean[:, :, candidates],
            references=references,
            top_k=layout.top_k,
        )
        for queries, candidates, first in parts
    ]


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
