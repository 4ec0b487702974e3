"""Sparse Local Attention: the papers' efficient attention as a patch for any Wan or HunyuanVideo MODEL."""

from __future__ import annotations

import re
from typing import Any

from comfy_api.latest import io

from ..gvr_core.attention import AttentionConfig
from . import host
from .sparse_patch import SparsePatch

UNIT = 5


class SparseAttention(io.ComfyNode):
    """The MODEL with sparse local attention."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRSparseAttention",
            display_name="Sparse Local Attention",
            category="GVR",
            description="Makes long or large videos affordable: every window of tokens attends to itself and to the "
            "most relevant other windows instead of to everything. For Wan, HunyuanVideo and GVR cascades, on any "
            "device, without extra packages. Cascades trained with it have it built in.",
            search_aliases=["sparse attention", "speed up", "low vram", "SimpleGVR"],
            inputs=[
                io.Model.Input("model", tooltip="Wan 2.1/2.2, HunyuanVideo or a GVR cascade."),
                io.Int.Input(
                    "window_height",
                    default=9,
                    min=1,
                    max=512,
                    tooltip="Rows of a window in tokens (16 pixels each), 1 to 512.",
                ),
                io.Int.Input(
                    "window_width",
                    default=12,
                    min=1,
                    max=512,
                    tooltip="Columns of a window in tokens (16 pixels each), 1 to 512.",
                ),
                io.Int.Input(
                    "top_k",
                    default=8,
                    min=0,
                    max=100000,
                    tooltip="Other windows that each window attends to, chosen per head, 0 to 100000. Models trained "
                    "with it need 1 (SimpleGVR); others want more, at more cost: try 8 first.",
                ),
                io.Boolean.Input(
                    "temporal_units",
                    default=False,
                    tooltip=f"Attention stays inside units of {UNIT} latent frames, shifted in every other layer.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Acts from this share of the run on, 0 to 1.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Acts up to this share of the run, 0 to 1.",
                ),
                io.String.Input(
                    "dense_blocks",
                    default="",
                    tooltip="Blocks that keep full attention, counted from 0: `0, 1, 27-29`. Empty for none.",
                ),
                io.Int.Input(
                    "min_tokens",
                    default=4096,
                    min=0,
                    max=10000000,
                    tooltip="Videos of fewer tokens stay dense, where full attention is as fast; 0 (none do) to "
                    "10000000. 480p has 1,560 a latent frame.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The patched model; the one connected stays as it is.")
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        window_height: int,
        window_width: int,
        top_k: int,
        temporal_units: bool,
        start_percent: float,
        end_percent: float,
        dense_blocks: str,
        min_tokens: int,
    ) -> io.NodeOutput:
        if start_percent > end_percent:
            raise ValueError(f"start_percent {start_percent} is after end_percent {end_percent}: swap them")
        config = AttentionConfig(
            kind="sparse_local",
            window=(window_height, window_width),
            top_k=top_k,
            unit=UNIT if temporal_units else 0,
            dense_layers=parse_blocks(dense_blocks),
        )
        patch = SparsePatch(config, start_percent=start_percent, end_percent=end_percent, min_tokens=min_tokens)
        return io.NodeOutput(patch.apply(model))


def parse_blocks(text: str) -> tuple[int, ...]:
    """The numbers of a list like `0, 1, 27-29`.

    Raises:
        ValueError: something else is in it.
    """
    blocks: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", part)
        if match is None:
            raise ValueError(f"dense_blocks has {part!r}, expected numbers and ranges with commas, like 0, 1, 27-29")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"dense_blocks has the range {part}, which runs backwards: write {last}-{first}")
        blocks.update(range(first, last + 1))
    return tuple(sorted(blocks))
