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
        model, options = executor.class_obj, _find_options(args, kwargs)
        if options is None or not self.end_sigma <= float(options["sigmas"][0]) <= self.start_sigma:
            return executor(*args, **kwargs)
        grid = _token_grid(model, args[0])
        if grid is None:
            self.say(f"{type(model).__name__} is not a Wan or HunyuanVideo model")
        elif grid.length < self.min_tokens:
            self.say(f"{grid.length} tokens are fewer than min_tokens, {self.min_tokens}")
        else:
            changed = {**options}
            if isinstance(model, CascadeDiT):
                changed[ATTENTION] = self.config
            else:
                call = PatchedCall(self, grid, text_first=_text_first(model), other=options.get(host.OVERRIDE))
                changed[host.OVERRIDE] = call.override
                changed["patches_replace"] = call.replace_blocks(model, options.get("patches_replace", {}))
            args, kwargs = _replace(args, kwargs, options, changed)
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
        other: the attention override that was there before, which keeps its say in the inner attention.
        layer: of the block that is running, None outside of blocks.
        text: text tokens in the joint sequence of the block; None where text is attended to apart (Wan).
        apart: text tokens that Wan's cross-attention attends to.
        is_first: no attention has run in this block yet.
    """

    patch: SparsePatch
    grid: TokenGrid
    text_first: bool
    other: Callable | None
    layer: int | None = None
    text: int | None = None
    apart: int = 0
    is_first: bool = False

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
        keep = None if mask is None else _kept_keys(mask, length)
        frames = self._frames(length, k.shape[2] if skip_reshape else k.shape[1], is_first)
        if frames is None or (mask is not None and keep is None):
            if frames is not None:
                self.patch.say("its mask is not one that only leaves out text")
            return backend(q, k, v, heads, mask=mask, attn_precision=attn_precision, **shape, **kwargs)

        def dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return backend(
                q,
                k,
                v,
                q.shape[1],
                attn_precision=attn_precision,
                skip_reshape=True,
                skip_output_reshape=True,
                **kwargs,
            )

        if not skip_reshape:
            q, k, v = (rearrange(x, "b n (heads d) -> b heads n d", heads=heads) for x in (q, k, v))
        # On a CPU the core's own way is faster than ComfyUI's, as long as no other pack wants a say.
        inner = full_attention if q.device.type == "cpu" and self.other is None else dense
        out = self._attend(q, k, v, keep, frames, inner)
        return out if skip_output_reshape else rearrange(out, "b heads n d -> b n (heads d)")

    def _frames(self, length: int, keys: int, is_first: bool) -> int | None:
        """Frames of the video in a self-attention of its tokens; None for every other attention."""
        if self.layer is None or keys != length:
            return None
        # Where the text is as long as the video its cross-attention looks the same; the self-attention comes first.
        if self.text is None and length == self.apart and not is_first:
            return None
        video = length - (self.text or 0)
        # More frames than the latent has: references that the model concatenates, in front or behind.
        frames, rest = divmod(video, self.grid.frame_length)
        if rest or frames < self.grid.frames:
            self.patch.say(f"{video} tokens are not whole frames of {self.grid.height} x {self.grid.width}")
            return None
        return frames

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, frames: int, dense: Callable) -> Tensor:
        """Sparse attention of the video, dense attention of the text, `b heads n d`."""
        grid = TokenGrid(frames=frames, references=0, height=self.grid.height, width=self.grid.width)
        layout = {"grid": grid, "layer": self.layer, "config": self.patch.config, "dense": dense}
        if not self.text:
            return attend(q, k, v, **layout)
        video = slice(self.text, None) if self.text_first else slice(0, grid.length)
        text = slice(0, self.text) if self.text_first else slice(grid.length, None)
        # Masked text is left out instead of masked: without a mask the fastest kernels serve.
        text_keys = [x[:, :, text] if keep is None else x[:, :, text][:, :, keep[text]] for x in (k, v)]
        out = torch.empty_like(q)
        out[:, :, video] = attend(*(x[:, :, video] for x in (q, k, v)), **layout, shared=SharedTokens(*text_keys))
        all_keys = [torch.cat([x[:, :, video], extra], dim=2) for x, extra in zip((k, v), text_keys, strict=True)]
        out[:, :, text] = dense(q[:, :, text], *all_keys)
        return out


def _kept_keys(mask: Tensor, length: int) -> Tensor | None:
    """Which of the keys a mask lets through, `(length,)`; None where it weighs keys or differs between queries."""
    if mask.shape[-1] != length or mask.numel() % length:
        return None
    rows = mask.reshape(-1, length)
    if not bool((rows == rows[:1]).all()):
        return None
    row = rows[0]
    if row.dtype == torch.bool:
        return row
    open_keys = row == 0
    return open_keys if bool((open_keys | (row < -1e4)).all()) else None


def _token_grid(model: Any, x: Tensor) -> TokenGrid | None:
    """The grid of the video's tokens, None for a model of another kind."""
    patch = getattr(model, "patch_size", None) or getattr(getattr(model, "config", None), "patch_size", None)
    knows = isinstance(model, CascadeDiT) or hasattr(model, "blocks") or hasattr(model, "double_blocks")
    if patch is None or len(patch) != 3 or x.ndim != 5 or not knows:
        return None
    t, h, w = (-(-size // p) for size, p in zip(x.shape[2:], patch, strict=True))
    return TokenGrid(frames=t, references=0, height=h, width=w)


def _text_first(model: Any) -> bool:
    """Order of HunyuanVideo's joint sequence: image first on ComfyUI 0.3.64, text first later."""
    blocks = getattr(model, "double_blocks", None)
    return bool(blocks) and not getattr(blocks[0], "flipped_img_txt", False)


def _find_options(args: tuple, kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """The transformer_options of a call: the one dictionary among its arguments that knows the sigmas."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, dict) and "sigmas" in value:
            return value
    return None


def _replace(args: tuple, kwargs: dict[str, Any], old: Any, new: Any) -> tuple[tuple, dict[str, Any]]:
    """The arguments with one object in the place of another."""
    swapped = tuple(new if value is old else value for value in args)
    return swapped, {name: new if value is old else value for name, value in kwargs.items()}
