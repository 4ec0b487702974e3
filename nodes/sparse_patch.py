"""Sparse local attention inside ComfyUI's own Wan and HunyuanVideo models, for the length of one model call.

The patch is a wrapper around the diffusion model. During a call it puts a function in front of the attention backend
(behind those of other packs, which it calls for the inner attention), and one around each block that tells the layer.
Both live in a copy of the call's transformer_options, so nothing stays behind and a removed patch leaves no trace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..gvr_core.attention import AttentionConfig, SharedTokens, TokenGrid, attend, full_attention
from . import host
from .model import ATTENTION, CascadeDiT
from .model_calls import find_options, open_text, references_first, replace_argument, text_first, token_grid

log = logging.getLogger("gvr")


@dataclass(eq=False)
class SparsePatch:
    """The wrapper: `patch(executor, *args, **kwargs)`.

    Attributes:
        config: form of the attention.
        start_sigma: it acts at this sigma and below.
        end_sigma: and at this sigma and above.
        min_tokens: shorter sequences stay dense.
    """

    config: AttentionConfig
    start_sigma: float
    end_sigma: float
    min_tokens: int
    said: set[str] = field(default_factory=set)

    def __call__(self, executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Calls the model, with sparse attention where it can be."""
        model, options = executor.class_obj, find_options(args, kwargs)
        if options is None or not self.end_sigma <= float(options["sigmas"][0]) <= self.start_sigma:
            return executor(*args, **kwargs)
        grid = token_grid(model, args[0])
        if grid is None:
            self.say(f"{type(model).__name__} is not a Wan or HunyuanVideo model")
        elif grid.length < self.min_tokens:
            self.say(f"{grid.length} tokens are fewer than min_tokens, {self.min_tokens}")
        else:
            changed = {**options}
            if isinstance(model, CascadeDiT):
                changed[ATTENTION] = self.config
            else:
                other = options.get(host.OVERRIDE)
                call = PatchedCall(self, grid, text_first(model), references_first(model), other)
                changed[host.OVERRIDE] = call.override
                changed["patches_replace"] = call.replace_blocks(model, options.get("patches_replace", {}))
            args, kwargs = replace_argument(args, kwargs, options, changed)
        return executor(*args, **kwargs)

    def say(self, reason: str) -> None:
        """Logs once why attention stays dense."""
        if reason not in self.said:
            self.said.add(reason)
            log.info("Sparse Local Attention: attention stays dense, %s", reason)


@dataclass(eq=False)
class PatchedCall:
    """What one model call knows: the grid, and through the blocks the layer and the text's length.

    Attributes:
        patch: the settings.
        grid: of the video's tokens.
        text_first: whether joint sequences begin with the text.
        references_first: whether frames that the model adds to the video's come before them.
        other: the attention override that was there before, which keeps its say in the inner attention.
        layer: of the block that is running, None outside of blocks.
        text: text tokens in the joint sequence of the block; None where text is attended to apart (Wan).
        apart: text tokens that Wan's cross-attention attends to.
        is_first: no attention has run in this block yet.
    """

    patch: SparsePatch
    grid: TokenGrid
    text_first: bool
    references_first: bool
    other: Callable | None
    layer: int | None = None
    text: int | None = None
    apart: int = 0
    is_first: bool = False
    masks: dict[int, tuple[Tensor, list[Tensor] | None]] = field(default_factory=dict)

    def replace_blocks(self, model: Any, replaced: dict[str, Any]) -> dict[str, Any]:
        """`patches_replace` with a function around every block; replacements of other packs stay, inside of ours."""
        blocks = dict(replaced.get("dit", {}))
        doubles = getattr(model, "double_blocks", None) or model.blocks
        for kind, count, first in (
            ("double_block", len(doubles), 0),
            ("single_block", len(getattr(model, "single_blocks", ())), len(doubles)),
        ):
            for index in range(count):
                key = (kind, index)
                blocks[key] = self._around(first + index, blocks.get(key), joint=hasattr(model, "double_blocks"))
        return {**replaced, "dit": blocks}

    def _around(self, layer: int, inner: Callable | None, *, joint: bool) -> Callable:
        def block(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
            self.layer, self.is_first = layer, True
            if "txt" in args and joint:
                self.text = args["txt"].shape[1]  # single blocks run on image and text together and do not say
            elif "txt" in args:
                self.apart = args["txt"].shape[1]
            return inner(args, extra) if inner is not None else extra["original_block"](args)

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
        shape = {"skip_reshape": skip_reshape, "skip_output_reshape": skip_output_reshape}
        backend = func if self.other is None else (lambda *a, **kw: self.other(func, *a, **kw))
        length, is_first = q.shape[2] if skip_reshape else q.shape[1], self.is_first
        self.is_first = False
        frames = self._frames(length, k.shape[2] if skip_reshape else k.shape[1], is_first)
        keep = None if frames is None or mask is None else self._kept_text(mask, length)
        if frames is None or (mask is not None and keep is None):
            if frames is not None:
                self.patch.say("its mask does more than leave out some of the text")
            return backend(q, k, v, heads, mask=mask, attn_precision=attn_precision, **shape, **kwargs)

        def dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            heads_first = {"skip_reshape": True, "skip_output_reshape": True}
            return backend(q, k, v, q.shape[1], attn_precision=attn_precision, **heads_first, **kwargs)

        if not skip_reshape:
            q, k, v = (rearrange(x, "b n (heads d) -> b heads n d", heads=heads) for x in (q, k, v))
        # On a CPU the core's own way is faster than ComfyUI's, as long as no other pack wants a say.
        inner = full_attention if q.device.type == "cpu" and self.other is None else dense
        if keep is None:
            out = self._attend(q, k, v, None, frames, inner)
        else:  # the text of every sample has a length of its own
            pieces = zip(q.split(1), k.split(1), v.split(1), keep * (len(q) // len(keep)), strict=True)
            out = torch.cat([self._attend(*piece, frames, inner) for piece in pieces])
        return out if skip_output_reshape else rearrange(out, "b heads n d -> b n (heads d)")

    def _frames(self, length: int, keys: int, is_first: bool) -> int | None:
        """Frames of the video in a self-attention of its tokens; None for every other attention."""
        if self.layer is None or keys != length:
            return None
        # Where the text is as long as the video its cross-attention looks the same; the self-attention comes first.
        if self.text is None and length == self.apart and not is_first:
            return None
        video = length - (self.text or 0)
        # More frames than the latent has are references that the model has added.
        frames, rest = divmod(video, self.grid.frame_length)
        if rest or frames < self.grid.frames:
            self.patch.say(f"{video} tokens are not whole frames of {self.grid.height} x {self.grid.width}")
            return None
        return frames

    def _kept_text(self, mask: Tensor, length: int) -> list[Tensor] | None:
        """Of each sample the text tokens that a mask lets through; None where it does anything else."""
        if id(mask) not in self.masks:
            # The mask is kept too, so that no other one can get its id during the call.
            self.masks[id(mask)] = (mask, open_text(mask, length, self.text or 0, self.text_first))
        return self.masks[id(mask)][1]

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, frames: int, dense: Callable) -> Tensor:
        """Sparse attention of the video, dense attention of the text, `b heads n d`."""
        grid = TokenGrid(self.grid.frames, frames - self.grid.frames, self.grid.height, self.grid.width)
        layout = {"grid": grid, "layer": self.layer, "config": self.patch.config, "dense": dense}
        if not self.text:
            return self._attend_video(q, k, v, layout)
        video = slice(self.text, None) if self.text_first else slice(0, grid.length)
        text = slice(0, self.text) if self.text_first else slice(grid.length, None)
        # Masked text is left out instead of masked: without a mask the fastest kernels serve.
        text_keys = [x[:, :, text] if keep is None else x[:, :, text][:, :, keep] for x in (k, v)]
        all_keys = [k, v]
        if keep is not None:
            all_keys = [torch.cat([x[:, :, video], y], dim=2) for x, y in zip((k, v), text_keys, strict=True)]
        out = torch.empty_like(q)
        layout["shared"] = SharedTokens(*text_keys)
        out[:, :, video] = self._attend_video(*(x[:, :, video] for x in (q, k, v)), layout)
        out[:, :, text] = dense(q[:, :, text], *all_keys)
        return out

    def _attend_video(self, q: Tensor, k: Tensor, v: Tensor, layout: dict[str, Any]) -> Tensor:
        """Sparse attention; references in front go behind the video for it, where gvr_core has them, and back."""
        grid = layout["grid"]
        turn = grid.references * grid.frame_length if self.references_first else 0
        if not turn:
            return attend(q, k, v, **layout)
        return attend(*(x.roll(-turn, dims=2) for x in (q, k, v)), **layout).roll(turn, dims=2)
