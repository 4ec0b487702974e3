"""One self-attention call of a host's model: sparse for the video, dense for the text beside it.

Every head is on its own, so heads are taken in groups and each group's result goes where it belongs at once. What is
in another order than gvr_core's (references in front, text between) is put in order for one group at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..gvr_core.attention import AttentionConfig, DenseAttention, SharedTokens, attend
from .model_calls import VideoLayout
from .text_mask import OpenText

COPIES, REORDERED = 5, 3
"""Tensors of a group's size that live together: in gvr_core, and q, k and v where they are put in another order."""


@dataclass(frozen=True, kw_only=True)
class VideoAttention:
    """Self-attention of a sequence of text and video.

    Attributes:
        layout: of the video's tokens.
        config: form of the attention.
        layer: even or odd is what counts, as in `gvr_core.attention.attend`.
        text: tokens of text in the sequence.
        extra_bytes: bound of the memory beside q, k, v and the result.
        dense: the inner operation.
        dense_text: the same for the text's queries, which may need the mask.
    """

    layout: VideoLayout
    config: AttentionConfig
    layer: int
    text: int
    extra_bytes: int
    dense: DenseAttention
    dense_text: DenseAttention

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, opened: OpenText) -> Tensor:
        """`b heads n d`, in memory `b n heads d` as the models go on with it; `opened` is the text that counts."""
        batch, heads, length, dim = q.shape
        out = v.new_empty(batch, length, heads, dim).transpose(1, 2)
        # The video's tokens alone: code that is compiled for one length of the text then serves for all.
        head_bytes = batch * self.layout.grid.length * dim * q.element_size()
        copies = COPIES + (REORDERED if self.layout.front else 0)
        group = min(heads, max(1, self.extra_bytes // 2 // (copies * head_bytes)))
        for start in range(0, heads, group):
            piece = slice(start, start + group)
            for sample, keys in enumerate(opened.samples):
                samples = slice(None) if len(opened.samples) == 1 else slice(sample, sample + 1)
                self._attend_group(*(x[samples, piece] for x in (q, k, v, out)), keys)
        if self.text:
            text = slice(0, self.text) if self.layout.text_first else slice(length - self.text, None)
            out[:, :, text] = self.dense_text(q[:, :, text], k, v)
        return out

    def _attend_group(self, q: Tensor, k: Tensor, v: Tensor, out: Tensor, keys: Tensor | None) -> None:
        """The video's part of some heads and samples, written into `out`."""
        begin, grid = self.text if self.layout.text_first else 0, self.layout.grid
        shared = None
        if self.text:
            text = slice(0, self.text) if self.layout.text_first else slice(grid.length, None)
            shared = SharedTokens(*(x[:, :, text] for x in (k, v)))
            if keys is not None:
                shared = SharedTokens(*(x.index_select(2, keys) for x in shared)) if len(keys) else None
        turn = self.layout.front * grid.frame_length
        middle, end = begin + turn, begin + grid.length
        video = [x[:, :, begin:end] for x in (q, k, v)]
        extra = self.extra_bytes
        if turn:  # gvr_core has references behind the video
            video = [torch.cat([x[:, :, turn:], x[:, :, :turn]], dim=2) for x in video]
            extra -= sum(x.numel() * x.element_size() for x in video)
        done = attend(
            *video,
            grid=grid,
            layer=self.layer,
            config=self.config,
            dense=self.dense,
            shared=shared,
            extra_bytes=max(extra, self.extra_bytes // 2),
        )
        out[:, :, middle:end] = done[:, :, : grid.length - turn]
        if turn:
            out[:, :, begin:middle] = done[:, :, grid.length - turn :]
