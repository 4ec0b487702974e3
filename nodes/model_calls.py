"""What can be read from a call of a diffusion model of ComfyUI's: grid, order of tokens, masks, options."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..gvr_core.attention import TokenGrid
from .model import CascadeDiT


def open_text(mask: Tensor, length: int, text: int, text_first: bool) -> list[Tensor] | None:
    """Of each sample of a mask that is open for all of the video, which text tokens are; None for any other mask."""
    if mask.shape[-1] != length or mask.ndim < 2 or mask[0].numel() != length:
        return None
    rows = mask.reshape(len(mask), length)
    is_open = rows if rows.dtype == torch.bool else rows == 0
    is_closed = ~rows if rows.dtype == torch.bool else rows < -1e4
    video = is_open[:, text:] if text_first else is_open[:, : length - text]
    if not bool(video.all() & (is_open | is_closed).all()):
        return None
    return list(is_open[:, :text] if text_first else is_open[:, length - text :])


def token_grid(model: Any, x: Tensor) -> TokenGrid | None:
    """The grid of the video's tokens, None for a model of another kind."""
    patch = getattr(model, "patch_size", None) or getattr(getattr(model, "config", None), "patch_size", None)
    knows = isinstance(model, CascadeDiT) or hasattr(model, "blocks") or hasattr(model, "double_blocks")
    if x.ndim != 5 or not isinstance(patch, (tuple, list)) or len(patch) != 3 or not knows:
        return None
    t, h, w = (-(-size // p) for size, p in zip(x.shape[2:], patch, strict=True))
    return TokenGrid(frames=t, references=0, height=h, width=w)


def text_first(model: Any) -> bool:
    """Order of HunyuanVideo's joint sequence: image first on ComfyUI 0.3.64, text first later."""
    blocks = getattr(model, "double_blocks", None)
    return bool(blocks) and not getattr(blocks[0], "flipped_img_txt", False)


def references_first(model: Any) -> bool:
    """Wan's ref_conv and HunyuanVideo put reference frames in front, concatenation in time (Phantom) behind."""
    return hasattr(model, "double_blocks") or getattr(model, "ref_conv", None) is not None


def find_options(args: tuple, kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """The transformer_options of a call: the one dictionary among its arguments that knows the sigmas."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, dict) and "sigmas" in value:
            return value
    return None


def replace_argument(args: tuple, kwargs: dict[str, Any], old: Any, new: Any) -> tuple[tuple, dict[str, Any]]:
    """The arguments with one object in the place of another."""
    swapped = tuple(new if value is old else value for value in args)
    return swapped, {name: new if value is old else value for name, value in kwargs.items()}
