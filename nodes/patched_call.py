"""What the sparse attention patch does inside of one call of a Wan or HunyuanVideo model, or of a cascade.

In the host's models it puts a function in front of the attention backend (behind those of other packs, which it calls
for the inner attention), and one around each block, which tells the layer.

Where the model or its blocks are compiled, this is traced with them. So nothing here reads a tensor, logs, or keeps a
number from block to block that the compiled code would see change: each change would compile it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from einops import rearrange
from torch import Tensor

from ..gvr_core.attention import AttentionConfig, full_attention
from .model_calls import VideoLayout
from .sparse_report import Note
from .text_mask import OpenText, all_text, read_joint_mask
from .video_attention import VideoAttention


@dataclass(eq=False)
class CascadeCall:
    """One call of a cascade, which is sparse by itself when it is told the form.

    Attributes:
        config: form of the attention.
        layers: blocks of the model.
        other: the attention override that was there before.
        is_covered: whether a patch of ours connected later takes its place.
    """

    config: AttentionConfig
    layers: int
    other: Callable | None
    is_covered: bool = False

    def finish(self) -> list[Note]:
        """All notes of the call."""
        if self.is_covered:
            return [Note("covered")] * self.layers
        return [Note("dense_blocks" if n in self.config.dense_layers else "sparse") for n in range(self.layers)]


@dataclass(eq=False)
class PatchedCall:
    """What one model call knows: the layout, and through the blocks the layer and the text's length.

    Attributes:
        config: form of the attention.
        layout: of the video's tokens.
        extra_bytes: memory that one attention call may take for copies.
        other: the attention override that was there before, which keeps its say in the inner attention.
        opened: the text tokens that the mask lets through; None where there is none, or it does anything else.
        seen: notes of the blocks that are done.
        notes: of the block that is running; begins empty in each.
        layer: 0 or 1, even or odd; 0 where neither units nor windows are shifted.
        is_dense: whether the block keeps full attention.
        expects: whether the next attention call is a self-attention of the video.
        alternates: whether after each other attention call a self-attention comes again (VACE's control blocks).
        text: text tokens in the joint sequence of the block, 0 where text is attended to apart (Wan).
        is_covered: whether a patch of ours connected later takes its place.
        mask: of the joint sequence, the one that `opened` is of.
    """

    config: AttentionConfig
    layout: VideoLayout
    extra_bytes: int
    other: Callable | None
    opened: OpenText | None
    seen: list[Note] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    layer: int = 0
    is_dense: bool = False
    expects: bool = False
    alternates: bool = False
    text: int = 0
    is_covered: bool = False
    mask: Tensor | None = None

    def replace_blocks(self, model: Any, replaced: dict[str, Any]) -> dict[str, Any]:
        """`patches_replace` with a function around every block; replacements of other packs stay, inside of ours."""
        blocks = dict(replaced.get("dit", {}))
        is_joint = hasattr(model, "double_blocks")
        doubles = len(model.double_blocks if is_joint else model.blocks)
        keys = [("double_block", n) for n in range(doubles)]
        keys += [("single_block", n) for n in range(len(getattr(model, "single_blocks", ())))]
        # VACE runs its control blocks between the others; they are layers of a sequence of their own.
        controls = getattr(model, "vace_layers_mapping", {})
        for layer, key in enumerate(keys):
            blocks[key] = self._around(layer, controls.get(layer), blocks.get(key), is_joint=is_joint)
        return {**replaced, "dit": blocks}

    def finish(self) -> list[Note]:
        """All notes of the call."""
        if self.is_covered:
            return [Note("covered") for note in self.seen if note.kind == "block"]
        return [*self.seen, *self.notes]

    def _around(self, layer: int, control: int | None, inner: Callable | None, *, is_joint: bool) -> Callable:
        shifts = bool(self.config.unit) or self.config.window_shift

        def block(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
            self.seen = [*self.seen, *self.notes, Note("block")]
            self.notes = []
            self.layer = layer % 2 if shifts else 0
            self.is_dense = layer in self.config.dense_layers
            self.alternates, self.expects = False, True
            if is_joint and "txt" in args:
                self.text = args["txt"].shape[1]  # single blocks run on image and text together and do not say
            if self.mask is None and self.opened is not None and self.opened.length == self.text:
                self.mask = args.get("attention_mask")  # the model has made it of the one among its inputs

            def original(args: dict[str, Any]) -> dict[str, Any]:
                self.expects = True  # another pack may run the block more than once
                return extra["original_block"](args)

            out = original(args) if inner is None else inner(args, {**extra, "original_block": original})
            self.seen = [*self.seen, *self.notes]
            self.notes = []
            self.alternates = self.expects = control is not None
            self.layer = (control or 0) % 2 if shifts else 0
            return out

        return block

    def override(
        self,
        func: Callable,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        heads: int,
        mask: Tensor | None = None,
        attn_precision: Any = None,
        skip_reshape: bool = False,
        skip_output_reshape: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        """In the place of an attention backend: sparse for the video's self-attention, otherwise what came before."""
        backend = func if self.other is None else (lambda *a, **kw: self.other(func, *a, **kw))
        axis = 2 if skip_reshape else 1
        is_self, self.expects = self.expects, self.alternates and not self.expects
        opened = self._opened(len(q), q.shape[axis], k.shape[axis], mask) if is_self else None
        if opened is None:
            shape = {"skip_reshape": skip_reshape, "skip_output_reshape": skip_output_reshape}
            return backend(q, k, v, heads, mask=mask, attn_precision=attn_precision, **shape, **kwargs)

        def dense(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
            heads_first = {"skip_reshape": True, "skip_output_reshape": True}
            return backend(q, k, v, q.shape[1], mask=mask, attn_precision=attn_precision, **heads_first, **kwargs)

        def dense_masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return dense(q, k, v, mask)

        # On a CPU the core's own way is faster than ComfyUI's, as long as no other pack wants a say.
        inner = full_attention if q.device.type == "cpu" and self.other is None else dense
        attention = VideoAttention(
            layout=self.layout,
            config=self.config,
            layer=self.layer,
            text=self.text,
            extra_bytes=self.extra_bytes,
            dense=inner,
            # Text that the mask closes is left out for the video; the few queries of the text take the mask itself.
            dense_text=inner if mask is None or opened.is_everything else dense_masked,
        )
        if not skip_reshape:
            q, k, v = (rearrange(x, "b n (heads d) -> b heads n d", heads=heads) for x in (q, k, v))
        out = attention(q, k, v, opened)
        return out if skip_output_reshape else rearrange(out, "b heads n d -> b n (heads d)")

    def _opened(self, batch: int, length: int, keys: int, mask: Tensor | None) -> OpenText | None:
        """The text that a self-attention of the video sees, None where it stays dense."""
        if keys != length:
            return None
        if self.is_dense:
            note = Note("dense_blocks")
        elif length - self.text != self.layout.grid.length:
            note = Note("tokens", length - self.text)
        else:
            opened = self._read(mask, length)
            note = (
                Note("mask") if opened is None or len(opened.samples) not in (1, batch) else Note("sparse", self.text)
            )
        self.notes.append(note)
        return opened if note.kind == "sparse" else None

    def _read(self, mask: Tensor | None, length: int) -> OpenText | None:
        if mask is None:
            return all_text(self.text)
        if mask is not self.mask:
            self.mask = mask
            self.opened = read_joint_mask(mask, length, self.text, text_first=self.layout.text_first)
        return self.opened
