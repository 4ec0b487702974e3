"""Names of a Wan transformer's tensors: diffusers' (`WanTransformer3DModel`) and Wan's own, which this project uses."""

from __future__ import annotations

import re

_WHOLE = {
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "proj_out": "head.head",
    "patch_embedding": "patch_embedding",
}
_IN_BLOCK = {
    "attn1": "self_attn",
    "attn2": "cross_attn",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "o",
    # diffusers counts the three norms of a block in the order they act in, Wan does not.
    "norm2": "norm3",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
}
_BLOCK = re.compile(r"(blocks\.\d+)\.(.+?)(?:\.(weight|bias))?")
_ATTENTION = re.compile(r"(attn1|attn2)\.(.+)")


def is_diffusers(names: set[str]) -> bool:
    """Whether these are the names of diffusers' class."""
    return "proj_out.weight" in names and "scale_shift_table" in names


def wan_name(name: str) -> str | None:
    """Wan's name of diffusers' tensor, or None for a tensor that a text-to-video transformer does not have."""
    if name == "scale_shift_table":
        return "head.modulation"
    layer, _, kind = name.rpartition(".")
    if layer in _WHOLE and kind in ("weight", "bias"):
        return f"{_WHOLE[layer]}.{kind}"
    block = _BLOCK.fullmatch(name)
    if block is None:
        return None
    prefix, layer, kind = block.groups()
    if layer == "scale_shift_table":
        return f"{prefix}.modulation"
    attention = _ATTENTION.fullmatch(layer)
    if attention is not None:
        which, part = attention.groups()
        part = part if part in ("norm_q", "norm_k") else _IN_BLOCK.get(part) if part.startswith("to_") else None
        return part and f"{prefix}.{_IN_BLOCK[which]}.{part}.{kind}"
    return f"{prefix}.{_IN_BLOCK[layer]}.{kind}" if layer in ("norm2", "ffn.net.0.proj", "ffn.net.2") else None
