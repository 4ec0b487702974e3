"""FLOPs, bytes and parameters of the transformer, counted from its config; nothing is run.

A multiply-add is two FLOPs. Counted are matrix products and convolutions; norms, RoPE, softmax and activations are left
out, as everywhere. Sparse local attention has two counts: `useful` has each real token as a query once, `executed` also
the overlap of windows shifted inside the frame and the scores that choose the windows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..attention import AttentionConfig, TokenGrid
from ..attention.temporal_units import unit_bounds
from ..attention.windows import fit_shift, fit_window, windows_per_frame
from ..models.dit_config import DiTConfig

TEXT_TOKENS = 512
"""Context tokens of Wan's text encoder."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Work of one call.

    Attributes:
        useful: FLOPs that the result needs.
        executed: FLOPs that are computed for it, at least `useful`.
        moved: bytes that at least cross the memory bus: inputs and weights read once, outputs written once.
    """

    useful: int
    executed: int
    moved: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            useful=self.useful + other.useful,
            executed=self.executed + other.executed,
            moved=self.moved + other.moved,
        )


@dataclass(frozen=True, kw_only=True)
class BlockFlops:
    """FLOPs of one block by part.

    Attributes:
        projections: Q, K, V and O of the 3-D self-attention.
        attention: its two matrix products, useful.
        overlap: what overlapping windows add to them.
        selection: scores of windows against windows.
        spatial: the whole 2-D attention per frame, 0 without one.
        text: the whole cross-attention, 0 without one.
        ffn: feed-forward.
    """

    projections: int
    attention: int
    overlap: int
    selection: int
    spatial: int
    text: int
    ffn: int

    @property
    def rest(self) -> int:
        """Everything except the self-attention's own matrix products and selection."""
        return self.projections + self.spatial + self.text + self.ffn

    @property
    def useful(self) -> int:
        """What the result needs."""
        return self.rest + self.attention

    @property
    def executed(self) -> int:
        """What is computed."""
        return self.useful + self.overlap + self.selection


def count_block(config: DiTConfig, grid: TokenGrid, layer: int = 0) -> BlockFlops:
    """FLOPs of block `layer` on one sample; odd layers shift units and windows, some may be dense."""
    n, dim = grid.length, config.dim
    useful, executed, selection = _pairs(config.attention, grid, layer)
    linear = 2 * n * dim * dim  # one projection of every token
    text = 0
    if config.text_dim:
        text = 2 * linear + 4 * TEXT_TOKENS * dim * dim + 4 * n * TEXT_TOKENS * dim
    return BlockFlops(
        projections=4 * linear,
        attention=4 * dim * useful,
        overlap=4 * dim * (executed - useful),
        selection=2 * dim * selection,
        spatial=4 * linear + 4 * n * grid.frame_length * dim if config.spatial_attention else 0,
        text=text,
        ffn=4 * n * dim * config.ffn_dim,
    )


def count_outside(config: DiTConfig, grid: TokenGrid) -> int:
    """FLOPs of a forward outside the blocks: embeddings of patches, text and time, and the head."""
    dim, patch = config.dim, math.prod(config.patch_size)
    target = grid.frames * grid.frame_length
    flops = 2 * grid.length * config.in_channels * patch * dim  # references are embedded, and cut off before the head
    flops += 2 * target * dim * patch * config.latent_channels
    flops += 2 * (1 + config.noise_embedding) * (config.freq_dim + dim) * dim + 2 * dim * 6 * dim
    if config.text_dim:
        flops += 2 * TEXT_TOKENS * (config.text_dim + dim) * dim
    return flops


def attention_cost(config: DiTConfig, grid: TokenGrid, itemsize: int, layer: int = 0) -> Cost:
    """The self-attention operation alone: Q, K, V read, the output written; `itemsize` is bytes per number."""
    block = count_block(config, grid, layer)
    return Cost(
        useful=block.attention,
        executed=block.attention + block.overlap + block.selection,
        moved=4 * grid.length * config.dim * itemsize,
    )


def rest_cost(config: DiTConfig, grid: TokenGrid, itemsize: int) -> Cost:
    """A block without the operation of `attention_cost`: weights and tokens read, tokens written."""
    flops = count_block(config, grid).rest
    moved = (count_block_parameters(config) + 2 * grid.length * config.dim) * itemsize
    return Cost(useful=flops, executed=flops, moved=moved)


def block_cost(config: DiTConfig, grid: TokenGrid, itemsize: int, layer: int = 0) -> Cost:
    """A whole block: as `rest_cost`, the attention's tensors never leave the chip."""
    block = count_block(config, grid, layer)
    return Cost(useful=block.useful, executed=block.executed, moved=rest_cost(config, grid, itemsize).moved)


def outside_cost(config: DiTConfig, grid: TokenGrid, itemsize: int) -> Cost:
    """What a forward does outside its blocks."""
    flops = count_outside(config, grid)
    weights = count_parameters(config) - config.num_layers * count_block_parameters(config)
    patch = math.prod(config.patch_size)
    numbers = grid.length * config.in_channels * patch + 2 * grid.length * config.dim
    return Cost(useful=flops, executed=flops, moved=(weights + numbers) * itemsize)


def model_cost(config: DiTConfig, grid: TokenGrid, itemsize: int) -> Cost:
    """One evaluation of the model on one sample."""
    total = outside_cost(config, grid, itemsize)
    for layer in range(config.num_layers):
        total += block_cost(config, grid, itemsize, layer)
    return total


def count_block_parameters(config: DiTConfig) -> int:
    """Numbers in the weights of one block."""
    dim = config.dim
    attention = 4 * (dim * dim + dim) + 2 * dim
    numbers = attention + 2 * dim * config.ffn_dim + config.ffn_dim + dim + 6 * dim
    if config.spatial_attention:
        numbers += attention
    if config.text_dim:
        numbers += attention + (2 * dim if config.cross_attn_norm else 0)
    return numbers


def count_parameters(config: DiTConfig) -> int:
    """Numbers in the weights of the whole model."""
    dim, patch = config.dim, math.prod(config.patch_size)
    out = patch * config.latent_channels
    numbers = config.num_layers * count_block_parameters(config)
    numbers += config.in_channels * patch * dim + dim
    numbers += (1 + config.noise_embedding) * ((config.freq_dim + 1) * dim + (dim + 1) * dim) + (dim + 1) * 6 * dim
    numbers += (dim + 1) * out + 2 * dim
    if config.text_dim:
        numbers += (config.text_dim + 1) * dim + (dim + 1) * dim
    return numbers


def _pairs(attention: AttentionConfig, grid: TokenGrid, layer: int) -> tuple[int, int, int]:
    """Query-key pairs of a head, useful and executed, and pairs of windows that are scored."""
    is_odd = layer % 2 == 1
    is_dense = layer in attention.dense_layers
    bounds = [(0, grid.frames)]
    if attention.unit and not is_dense:
        bounds = unit_bounds(grid.frames, attention.unit, shifted=is_odd, shift=attention.unit_shift)
    # (frames that ask, frames that can answer, whether a reference asks)
    parts = [(stop - start, stop - start + grid.references, False) for start, stop in bounds]
    if grid.references:
        parts.append((grid.references, grid.total_frames, True))
    cells = grid.frame_length
    if attention.kind == "full" or is_dense:
        pairs = sum(asking * cells * answering * cells for asking, answering, _ in parts)
        return pairs, pairs, 0

    window = fit_window(grid, attention.window)
    shift = tuple(n // 2 for n in attention.window) if attention.window_shift and is_odd else (0, 0)
    per_frame = windows_per_frame(grid, window, fit_shift(grid, window, shift))
    size = window[0] * window[1]
    useful = executed = selection = 0
    for asking, answering, is_reference in parts:
        candidates = answering * per_frame
        slots = 1 + (grid.references * per_frame > is_reference)  # its own, and the best (other) reference
        keys = (slots + min(attention.top_k, candidates - slots)) * size
        useful += asking * cells * keys
        executed += asking * per_frame * size * keys
        selection += asking * per_frame * candidates
    return useful, executed, selection
