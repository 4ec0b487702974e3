"""The diffusion transformer of the cascade: Wan 2.1's, conditioned on a low-resolution latent and on references.

With Wan's weights, `grow_patch_embedding` and the zero-initialised new parts it equals the base model exactly before
training. What it adds to Wan: condition channels next to the latent's (S 4.1), the condition's noise level beside the
timestep (U), reference frames as further tokens on the time axis (U 3.2), 2-D attention per frame (S 3, U A.1), sparse
attention (S 4.4) and residual prediction (`preconditioning`, ours).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..attention import DenseAttention, TokenGrid, attend, full_attention
from .blocks import Block, Head, TokenContext, run_block, sinusoid, zero_parameters
from .dit_config import DiTConfig
from .dit_inputs import check_inputs
from .preconditioning import per_sample, precondition
from .rope import rotary_table

TIMESTEPS = 1000.0
"""Timestep of pure noise, Wan's scale; sigma and tau are multiplied by it before their embedding."""


class DiT(nn.Module):
    """Predicts the velocity of a noisy high-resolution latent.

    Attributes:
        config: its architecture.
        dense: the attention operation, `(q, k, v)` on `b heads n d`; read at every call, a host may set it.
        attention: form of the 3-D attention, the config's; read at every call, a host may set another one.
        attend: the 3-D attention itself, `attention.attend`; read at every call, a host may set one that measures it.
        run_block: calls a block, `run_block`; read at every call, a host may set one that lets others take its place.
        gradient_checkpointing: set it to True to recompute each block in the backward pass instead of keeping its
            activations; the gradients are the same.
    """

    def __init__(
        self,
        config: DiTConfig,
        *,
        operations: Any = nn,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        dense: DenseAttention = full_attention,
    ) -> None:
        """Creates the parameters; load weights next, or call `initialize` to train from nothing.

        Args:
            config: architecture.
            operations: provider of Linear, Conv3d, LayerNorm and RMSNorm: `torch.nn`, or a host's classes of the same
                names.
            device: of the parameters; "meta" to load a checkpoint with `assign=True`.
            dtype: of the parameters.
            dense: the attention operation.
        """
        super().__init__()
        self.config, self.attention, self.dense, self.attend = config, config.attention, dense, attend
        self.run_block = run_block
        self.gradient_checkpointing = False
        factory = {"device": device, "dtype": dtype}
        dim, patch = config.dim, config.patch_size
        linear = operations.Linear
        self.patch_embedding = operations.Conv3d(config.in_channels, dim, kernel_size=patch, stride=patch, **factory)
        self.text_embedding = None
        if config.text_dim:
            self.text_embedding = nn.Sequential(
                linear(config.text_dim, dim, **factory), nn.GELU(approximate="tanh"), linear(dim, dim, **factory)
            )
        self.time_embedding = _time_mlp(config, linear, factory)
        self.noise_embedding = None
        if config.noise_embedding:
            self.noise_embedding = _time_mlp(config, linear, factory)
            zero_parameters(self.noise_embedding[2])
        self.time_projection = nn.Sequential(nn.SiLU(), linear(dim, 6 * dim, **factory))
        self.blocks = nn.ModuleList(
            Block(
                dim,
                config.ffn_dim,
                config.num_heads,
                config.eps,
                has_text=config.text_dim > 0,
                cross_attn_norm=config.cross_attn_norm,
                spatial_attention=config.spatial_attention,
                operations=operations,
                **factory,
            )
            for _ in range(config.num_layers)
        )
        out_features = math.prod(patch) * config.latent_channels
        self.head = Head(dim, out_features, config.eps, operations=operations, **factory)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        """Draws weights to train from nothing, as Wan does; the new parts and the head's projection are zero."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv3d)):
                nn.init.xavier_uniform_(module.weight.flatten(1), generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, (Block, Head)):
                nn.init.normal_(module.modulation, std=self.config.dim**-0.5, generator=generator)
        for mlp in (self.time_embedding, self.text_embedding, self.noise_embedding):
            if mlp is not None:
                nn.init.normal_(mlp[0].weight, std=0.02, generator=generator)
                nn.init.normal_(mlp[2].weight, std=0.02, generator=generator)
        zero = [self.head.head] + [block.spatial_attn.o for block in self.blocks if block.spatial_attn is not None]
        for module in zero if self.noise_embedding is None else [*zero, self.noise_embedding[2]]:
            zero_parameters(module)

    def forward(
        self,
        x: Tensor,
        timestep: float | Tensor,
        context: Tensor | None,
        *,
        condition: Tensor | None = None,
        noise_level: float | Tensor | None = None,
        references: Tensor | None = None,
        reference_times: Sequence[int] = (),
    ) -> Tensor:
        """The velocity, noise minus clean, at x.

        The dtype of x is that of the weights, or any under autocast. Under autocast the tokens between the layers
        and the time embedding stay float32, as in Wan.

        Args:
            x: noisy latent, `b c t h w`, h and w multiples of the patch.
            timestep: 1000 * sigma, in [0, 1000]; one number or `(b,)`.
            context: text tokens, `b n text_dim`, any n, all attended to; None exactly if the model is class-free.
                Wan was trained with n = 512: its pipelines cut the prompt's tokens from the padded encoder output and
                fill up with zero vectors, without a mask. Shorter contexts work but are not what it was trained on.
            condition: low-resolution latent on x's grid, noise augmented at `noise_level`, `b c t h w`; None is zeros,
                and not allowed with `residual_std`.
            noise_level: tau of the condition in [0, 1]; one number or `(b,)`; None is 0. Without effect on a model
                that has neither a noise embedding nor `residual_std`.
            references: clean latents of the references, `b c r h w`, on x's grid.
            reference_times: RoPE time index of each of the r frames, see `references.time_indices`.

        Returns:
            `b c t h w` in the dtype of x.

        Raises:
            ValueError: an input does not fit the model or x.
        """
        config = self.config
        check_inputs(config, x, context, condition, references, reference_times)
        timestep = per_sample("timestep", timestep, x)
        given_level = 0.0 if noise_level is None else noise_level
        noise_level = per_sample("condition noise level", given_level, x)
        autocast = _is_autocast(x.device)
        dtype = torch.float32 if autocast else x.dtype

        terms, latent = None, x
        if config.residual_std is not None:
            sigma = timestep / TIMESTEPS
            terms = precondition(x, condition, sigma=sigma, noise_level=given_level, residual_std=config.residual_std)
            latent = terms.network_input
        elif config.condition_channels:
            latent = torch.cat([x, torch.zeros_like(x) if condition is None else condition.to(x.dtype)], dim=1)
        times = [*range(x.shape[2]), *reference_times]
        if references is not None:
            # The condition's half of a reference is zero: it has no low-resolution version (ours). Where the model sees
            # anchor and residual instead, a clean reference is its own anchor and its residual is zero.
            rest = references.new_zeros(len(x), config.condition_channels, *references.shape[2:])
            halves = [references, rest] if terms is None else [rest, references]
            latent = torch.cat([latent, torch.cat(halves, dim=1).to(latent.dtype)], dim=2)

        tokens = self.patch_embedding(latent.to(dtype)).to(dtype)  # b d t+r h w
        height, width = tokens.shape[3:]
        layout = TokenContext(
            grid=TokenGrid(frames=x.shape[2], references=len(reference_times), height=height, width=width),
            rotary=rotary_table(config.head_dim, times, height, width, device=x.device),
            attention=self.attention,
            dense=self.dense,
            attend=self.attend,
        )
        tokens = rearrange(tokens, "b d t h w -> b (t h w) d").contiguous()
        text = None if context is None else self.text_embedding(context.to(dtype)).to(dtype)
        time, time_table = self._embed_time(timestep, noise_level, dtype, autocast)
        for number, (block, layer) in enumerate(zip(self.blocks, layout.for_layers(len(self.blocks)), strict=True)):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                # Nothing in a block is random, so the generators' states need not be kept.
                tokens = checkpoint(
                    block, tokens, time_table, text, layer, use_reentrant=False, preserve_rng_state=False
                )
            else:
                tokens = self.run_block(number, block, tokens, time_table, text, layer)

        # The references, which come last, are cut off.
        patches = self.head(tokens[:, : x.shape[2] * height * width], time)
        output = rearrange(
            patches,
            "b (t h w) (pt ph pw c) -> b c (t pt) (h ph) (w pw)",
            h=height,
            w=width,
            pt=1,
            ph=config.patch_size[1],
            pw=config.patch_size[2],
        )
        return (output if terms is None else terms.velocity(output)).to(x.dtype)

    def _embed_time(
        self, timestep: Tensor, noise_level: Tensor, dtype: torch.dtype, autocast: bool
    ) -> tuple[Tensor, Tensor]:
        """The time embedding `b d` and its projection `b 6 d`, each with the noise level in it."""
        # Autocast would round them to bfloat16, and every layer is modulated by them.
        with torch.autocast(timestep.device.type, enabled=False) if autocast else nullcontext():
            dtype = self.time_projection[1].weight.dtype if autocast else dtype
            time = self.time_embedding(sinusoid(timestep, self.config.freq_dim).to(dtype))
            if self.noise_embedding is not None:
                level = sinusoid(TIMESTEPS * noise_level, self.config.freq_dim)
                time = time + self.noise_embedding(level.to(dtype))
            return time, rearrange(self.time_projection(time), "b (six d) -> b six d", six=6)


def grow_patch_embedding(weight: Tensor, in_channels: int) -> Tensor:
    """A patch embedding for more input channels that gives the same tokens, whatever the new channels hold.

    Args:
        weight: `d c pt ph pw`, for instance Wan's `patch_embedding.weight`.
        in_channels: input channels to reach, at least c; 2c makes a cascade of a text-to-video model.

    Returns:
        `d in_channels pt ph pw`: weight, then zeros.

    Raises:
        ValueError: weight has more channels already.
    """
    channels = weight.shape[1]
    if in_channels < channels:
        raise ValueError(f"patch embedding has {channels} input channels, cannot grow it to {in_channels}: use more")
    zeros = weight.new_zeros(len(weight), in_channels - channels, *weight.shape[2:])
    return torch.cat([weight, zeros], dim=1)


def _time_mlp(config: DiTConfig, linear: Any, factory: dict[str, Any]) -> nn.Sequential:
    return nn.Sequential(
        linear(config.freq_dim, config.dim, **factory), nn.SiLU(), linear(config.dim, config.dim, **factory)
    )


def _is_autocast(device: torch.device) -> bool:
    # Asking for the meta device is an error.
    return device.type != "meta" and torch.is_autocast_enabled(device.type)
