"""What Sparse Local Attention has done in a run, and in words why it has not."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from ..gvr_core.attention import AttentionConfig, TokenGrid
from ..gvr_core.attention.temporal_units import unit_bounds

log = logging.getLogger("gvr")


class Note(NamedTuple):
    """Something that happened in a model call.

    Attributes:
        kind: "block": one has begun; "sparse": a self-attention was; all others say why one was not.
        tokens: of the text with "sparse", otherwise those that do not fit.
    """

    kind: str
    tokens: int = 0


@dataclass(eq=False)
class Report:
    """Of one run.

    Attributes:
        name: of the model.
        replaced: methods of the model that another node has put its own in place of.
        calls: of the model.
        inside: of them, those between start and end percent.
        counts: notes by kind.
        shares: sum of the shares of all keys that the queries of the sparse calls see.
        details: what the words of a reason need.
    """

    name: str = "the model"
    replaced: tuple[str, ...] = ()
    calls: int = 0
    inside: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    shares: float = 0.0
    details: dict[str, str] = field(default_factory=dict)

    def add(self, notes: list[Note], config: AttentionConfig, grid: TokenGrid | None) -> None:
        """Counts the notes of a model call on a grid."""
        for note in notes:
            self.counts[note.kind] += 1
            if note.kind == "sparse" and grid is not None:
                self.shares += key_share(config, grid, note.tokens)
            elif note.kind == "tokens" and grid is not None:
                size = f"{grid.total_frames} frames of {grid.height} x {grid.width}"
                self.details["tokens"] = f"{note.tokens} tokens are not {size}, the model has others beside the video"

    def say(self, start_percent: float, end_percent: float) -> None:
        """One line in the log; none where nothing ran, as in a part of a schedule without a step."""
        if not self.calls:
            return
        sparse = self.counts["sparse"]
        reasons = {kind: n for kind, n in self.counts.items() if kind not in ("sparse", "block")}
        words = [self._word(kind) for kind in reasons]
        if sparse:
            total, share = sparse + sum(reasons.values()), 100 * self.shares / sparse
            parts = [f"{sparse} of {total} self-attention calls sparse, each query with {share:.1f} % of the keys"]
            parts += [f"{n} dense, {word}" for n, word in zip(reasons.values(), words, strict=True)]
            if self.inside < self.calls:
                outside = self.calls - self.inside
                parts.append(f"{outside} of {self.calls} model calls outside of start_percent and end_percent")
            log.info("Sparse Local Attention: %s", "; ".join(parts))
        elif reasons:
            log.info("Sparse Local Attention: attention stays dense, %s", ", ".join(words))
        elif not self.inside:
            log.info(
                "Sparse Local Attention: attention stays dense, no model call is between start_percent %s and "
                "end_percent %s",
                start_percent,
                end_percent,
            )
        else:
            log.warning("Sparse Local Attention: attention stays dense, %s", self._obstacle())

    def _obstacle(self) -> str:
        """Why nothing at all was heard of the attention calls."""
        if self.replaced:
            methods = " and ".join(self.replaced)
            return (
                f"another node has replaced {methods} of {self.name} (some versions of TeaCache do): "
                "remove one of the two nodes"
            )
        if self.counts["block"]:
            return (
                f"the blocks of {self.name} ran but their attention did not come by: another node has replaced the "
                "attention function, or this version of ComfyUI does not tell it of patches. Remove that node, or "
                "update ComfyUI"
            )
        return (
            f"{self.name} ran but its blocks did not come by: another node runs it in a way of its own. Remove one of "
            "the two nodes"
        )

    def _word(self, kind: str) -> str:
        known = {
            "dense_blocks": "as dense_blocks says",
            "options": "the model was called without transformer_options",
            "mask": "its mask does more than leave out some of the text",
            "covered": "another Sparse Local Attention, connected later, takes its place",
        }
        return self.details.get(kind) or known[kind]


def key_share(config: AttentionConfig, grid: TokenGrid, text: int = 0) -> float:
    """Share of all keys that a query of the video sees on average, 0 to 1."""
    area = min(config.window[0], grid.height) * min(config.window[1], grid.width)
    windows = 1 + bool(grid.references) + config.top_k
    bounds = unit_bounds(grid.frames, config.unit, shifted=False) if config.unit else [(0, grid.frames)]
    frames = [stop - start for start, stop in bounds]
    seen = sum(n * min(windows * area, (n + grid.references) * grid.frame_length) for n in frames) / grid.frames
    return (seen + text) / (grid.length + text)
