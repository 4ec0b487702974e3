"""The operations as calls: random inputs and random weights on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..attention import AttentionConfig, DenseAttention, TokenGrid, attend, full_attention
from ..models.blocks import Block, TokenContext
from ..models.dit import TIMESTEPS, DiT
from ..models.dit_config import DiTConfig
from ..models.rope import rotary_table
from ..references import time_indices
from .cases import Case
from .counts import TEXT_TOKENS

Call = Callable[[], Tensor]
SIGMA, NOISE_LEVEL = 0.5, 0.3
"""Of the model's calls; without effect on their time."""


class Operations:
    """Makes cases callable. The forms of attention share inputs and weights, which live as long as this.

    Args:
        device: where everything runs.
        dtype: of weights and inputs.
        compiled: through torch.compile: the operation alone, or each block.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, *, compiled: bool = False) -> None:
        self.device, self.dtype, self.compiled = device, dtype, compiled
        self._generator = torch.Generator(device).manual_seed(0)
        self._tensors: dict[tuple, Tensor] = {}
        self._models: dict[DiTConfig, DiT] = {}

    def build(self, case: Case) -> Call:
        """The call of a case; inputs and weights are there when it returns. Run it under inference mode."""
        with torch.inference_mode():
            if case.operation == "attention":
                return self._attention(case)
            if case.operation == "model":
                return self._model(case)
            return self._block(case)

    def _attention(self, case: Case) -> Call:
        config, grid = case.config, case.grid
        q, k, v = (self._random(name, 1, config.num_heads, grid.length, config.head_dim) for name in "qkv")

        def run() -> Tensor:
            return attend(q, k, v, grid=grid, layer=0, config=config.attention)

        return self._compile(run)

    def _block(self, case: Case) -> Call:
        config, grid = case.config, case.grid
        block: Block = self._weights(replace(config, num_layers=1)).blocks[0]
        x = self._random("x", 1, grid.length, config.dim)
        time = self._random("time", 1, 6, config.dim)
        text = self._random("text", 1, TEXT_TOKENS, config.dim) if config.text_dim else None
        times = [*range(grid.frames), *_reference_times(config, grid)]
        tokens = TokenContext(
            grid=grid,
            rotary=rotary_table(config.head_dim, times, grid.height, grid.width, device=self.device),
            attention=config.attention,
            dense=full_attention,
        )
        if case.operation == "rest":
            tokens = replace(tokens, attention=AttentionConfig(), dense=_without_self_attention(config, grid))
        forward = self._compile(block)
        return lambda: forward(x, time, text, tokens)

    def _model(self, case: Case) -> Call:
        config, grid = case.config, case.grid
        base = self._weights(config)
        with torch.device("meta"):
            dit = DiT(config)
        dit.load_state_dict(base.state_dict(), assign=True)
        dit.eval().requires_grad_(False)
        if self.compiled:
            for block in dit.blocks:
                block.compile(dynamic=False)
        rows, columns = grid.height * config.patch_size[1], grid.width * config.patch_size[2]
        x = self._random("latent", 1, config.latent_channels, grid.frames, rows, columns)
        condition = self._random("condition", *x.shape) if config.condition_channels else None
        context = self._random("context", 1, TEXT_TOKENS, config.text_dim) if config.text_dim else None
        references = None
        if grid.references:
            references = self._random("references", 1, config.latent_channels, grid.references, rows, columns)
        times = _reference_times(config, grid)
        return lambda: dit(
            x,
            TIMESTEPS * SIGMA,
            context,
            condition=condition,
            noise_level=NOISE_LEVEL,
            references=references,
            reference_times=times,
        )

    def _weights(self, config: DiTConfig) -> DiT:
        """A model with random weights of these sizes; one for all forms of attention."""
        key = replace(config, attention=AttentionConfig())
        if key not in self._models:
            dit = DiT(key, device=self.device, dtype=self.dtype)
            dit.initialize(self._generator)
            self._models[key] = dit.eval().requires_grad_(False)
        return self._models[key]

    def _random(self, name: str, *shape: int) -> Tensor:
        key = (name, *shape)
        if key not in self._tensors:
            self._tensors[key] = torch.randn(shape, generator=self._generator, device=self.device, dtype=self.dtype)
        return self._tensors[key]

    def _compile(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return torch.compile(function, dynamic=False) if self.compiled else function


def _reference_times(config: DiTConfig, grid: TokenGrid) -> list[int]:
    return time_indices(grid.frames, grid.references, 0, config.reference_ranges)[1]


def _without_self_attention(config: DiTConfig, grid: TokenGrid) -> DenseAttention:
    """Dense attention that leaves the 3-D self-attention out: its queries pass through."""

    def dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        # The 2-D attention has the frames in its batch; with a single frame the two cannot be told apart.
        is_spatial = config.spatial_attention and q.shape[0] == grid.total_frames > 1
        if is_spatial or q.shape[2] != k.shape[2] or q.shape[2] != grid.length:
            return full_attention(q, k, v)
        return q

    return dense
