"""The transformer block of the DiT and its output head: Wan 2.1's, with the papers' optional 2-D attention.

Wan's arithmetic: norms, modulation and gates in float32 (float64 for float64 input), everything else in the dtype of
the tokens. Parameter names are Wan's, so its public weights load as they are. `spatial_attn` is the per-frame
self-attention of the papers' own blocks (S 3, U A.1); its output starts at zero, so switching it on changes nothing
until it is trained. Ours: it shares norm1's modulation and gate with the 3-D attention, which keeps Wan's `modulation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..attention import AttentionConfig, DenseAttention, TokenGrid, attend
from .rope import Rotary, apply_rotary

FFN_TOKENS = 2**13
"""Tokens in the feed-forward layer at a time where no gradient is needed: its wide hidden layer, whole, would be the
largest tensor of a run."""


@dataclass(frozen=True, eq=False)
class TokenContext:
    """What every block needs to know of the tokens, besides their values.

    Attributes:
        grid: frames, references, rows and columns of the tokens.
        rotary: their angles.
        attention: which tokens the 3-D attention connects.
        dense: the inner attention of all three kinds.
        attend: the 3-D attention; a host may put one there that measures it.
        layer: index of a layer that attends as this one does; decides where units and windows are cut.
    """

    grid: TokenGrid
    rotary: Rotary
    attention: AttentionConfig
    dense: DenseAttention
    attend: Callable[..., Tensor] = attend
    layer: int = 0

    def for_layers(self, count: int) -> list[TokenContext]:
        """One for each of `count` layers.

        Layers that attend alike share theirs: torch.compile then makes at most three programs of the blocks, where it
        would make one for each and give up at eight.
        """
        attention, contexts = self.attention, {}
        kinds = [-1 if layer in attention.dense_layers else layer % attention.period for layer in range(count)]
        for layer, kind in enumerate(kinds):
            contexts.setdefault(kind, replace(self, layer=layer))
        return [contexts[kind] for kind in kinds]


def sinusoid(position: Tensor, dim: int) -> Tensor:
    """Sinusoidal features of `position`: `dim / 2` cosines, then as many sines, frequencies from 1 down to 1/10000.

    Args:
        position: `(b,)`, for instance the timestep in [0, 1000].
        dim: even number of features.

    Returns:
        `b dim`, float32.
    """
    half = dim // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float64) / half)
    angles = torch.outer(position.float(), frequencies.float().to(position.device))
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def zero_parameters(layer: nn.Module) -> None:
    """Sets the layer's parameters to zero; those that a host creates only on loading are not there yet."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class Attention(nn.Module):
    """Projections of one attention, with RMS norm of queries and keys over all heads together."""

    def __init__(self, dim: int, num_heads: int, eps: float, *, operations: Any, **factory: Any) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = operations.Linear(dim, dim, **factory)
        self.k = operations.Linear(dim, dim, **factory)
        self.v = operations.Linear(dim, dim, **factory)
        self.o = operations.Linear(dim, dim, **factory)
        self.norm_q = operations.RMSNorm(dim, eps=eps, elementwise_affine=True, **factory)
        self.norm_k = operations.RMSNorm(dim, eps=eps, elementwise_affine=True, **factory)

    def project(self, x: Tensor, source: Tensor, rotary: Rotary | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of `x` (`b n d`), keys and values of `source` (`b m d`), each `b heads . d`."""
        # Under autocast a projection is bfloat16 and x float32: the norm then runs in float32, as its weight is.
        q, k, v = self.norm_q(self.q(x).to(x.dtype)), self.norm_k(self.k(source).to(x.dtype)), self.v(source)
        q, k, v = (y.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for y in (q, k, v))
        if rotary is not None:
            q, k = apply_rotary(q, rotary), apply_rotary(k, rotary)
        return q.to(v.dtype), k.to(v.dtype), v

    def output(self, y: Tensor) -> Tensor:
        """`b heads n d` attended values -> `b n d`."""
        return self.o(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """One layer: [2-D attention per frame], 3-D attention, [cross-attention to the text], feed-forward.

    Args:
        has_text: with norm3 and cross_attn; a class-free model has neither.
        cross_attn_norm: norm3 is a LayerNorm, otherwise the identity.
        spatial_attention: with spatial_attn.
        operations: provider of Linear, LayerNorm and RMSNorm: `torch.nn`, or a host's classes of the same names.
        factory: device and dtype of the parameters.
    """

    def __init__(
        self,
        dim: int,
        ffn_dim: int,
        num_heads: int,
        eps: float,
        *,
        has_text: bool,
        cross_attn_norm: bool,
        spatial_attention: bool,
        operations: Any,
        **factory: Any,
    ) -> None:
        super().__init__()
        self.norm1 = operations.LayerNorm(dim, eps=eps, elementwise_affine=False, **factory)
        self.spatial_attn = None
        if spatial_attention:
            self.spatial_attn = Attention(dim, num_heads, eps, operations=operations, **factory)
            zero_parameters(self.spatial_attn.o)
        self.self_attn = Attention(dim, num_heads, eps, operations=operations, **factory)
        self.norm3, self.cross_attn = None, None
        if has_text:
            self.norm3 = operations.LayerNorm(dim, eps=eps, **factory) if cross_attn_norm else nn.Identity()
            self.cross_attn = Attention(dim, num_heads, eps, operations=operations, **factory)
        self.norm2 = operations.LayerNorm(dim, eps=eps, elementwise_affine=False, **factory)
        self.ffn = nn.Sequential(
            operations.Linear(dim, ffn_dim, **factory),
            nn.GELU(approximate="tanh"),
            operations.Linear(ffn_dim, dim, **factory),
        )
        self.modulation = nn.Parameter(torch.zeros(1, 6, dim, **factory))

    def forward(self, x: Tensor, time: Tensor, text: Tensor | None, tokens: TokenContext) -> Tensor:
        """The tokens after this layer.

        Args:
            x: `b n d`, target frames and then references.
            time: `b 6 d`, the projected time embedding.
            text: `b m d`, the embedded context; None for a class-free model.
            tokens: the layout of x.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = _modulation(self.modulation, time, x).chunk(6, dim=1)
        if self.spatial_attn is not None:
            y = self._attend_frames(_modulated(self.norm1, x, shift1, scale1), tokens)
            x = _gated_sum(x, y, gate1)
        y = self._attend_all(_modulated(self.norm1, x, shift1, scale1), tokens)
        x = _gated_sum(x, y, gate1)
        if self.cross_attn is not None:
            q, k, v = self.cross_attn.project(self.norm3(x), text)
            x = x + self.cross_attn.output(tokens.dense(q, k, v)).to(x.dtype)
        return self._feed_forward(x, shift2, scale2, gate2)

    def _feed_forward(self, x: Tensor, shift: Tensor, scale: Tensor, gate: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.shape[1] <= FFN_TOKENS:
            return _gated_sum(x, self.ffn(_modulated(self.norm2, x, shift, scale)), gate)
        out = torch.empty_like(x)
        for part, target in zip(x.split(FFN_TOKENS, dim=1), out.split(FFN_TOKENS, dim=1), strict=True):
            target.copy_(_gated_sum(part, self.ffn(_modulated(self.norm2, part, shift, scale)), gate))
        return out

    def _attend_all(self, x: Tensor, tokens: TokenContext) -> Tensor:
        q, k, v = self.self_attn.project(x, x, tokens.rotary)
        y = tokens.attend(q, k, v, grid=tokens.grid, layer=tokens.layer, config=tokens.attention, dense=tokens.dense)
        return self.self_attn.output(y)

    def _attend_frames(self, x: Tensor, tokens: TokenContext) -> Tensor:
        """2-D attention: inside a frame the time angles cancel, so the 3-D table serves."""
        q, k, v = self.spatial_attn.project(x, x, tokens.rotary)
        n = tokens.grid.frame_length
        q, k, v = (rearrange(y, "b heads (t n) d -> (b t) heads n d", n=n) for y in (q, k, v))
        y = rearrange(tokens.dense(q, k, v), "(b t) heads n d -> b heads (t n) d", b=len(x))
        return self.spatial_attn.output(y)


def run_block(
    number: int, block: nn.Module, x: Tensor, time: Tensor, text: Tensor | None, tokens: TokenContext
) -> Tensor:
    """The tokens after block `number`; see `Block.forward`."""
    return block(x, time, text, tokens)


class Head(nn.Module):
    """Final norm, modulation and projection of a token to the latent cells of its patch."""

    def __init__(self, dim: int, out_features: int, eps: float, *, operations: Any, **factory: Any) -> None:
        super().__init__()
        self.norm = operations.LayerNorm(dim, eps=eps, elementwise_affine=False, **factory)
        self.head = operations.Linear(dim, out_features, **factory)
        self.modulation = nn.Parameter(torch.zeros(1, 2, dim, **factory))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """`b n d` tokens and the `b d` time embedding -> `b n out_features`."""
        shift, scale = _modulation(self.modulation, time.unsqueeze(1), x).chunk(2, dim=1)
        return self.head(_modulated(self.norm, x, shift, scale))


def _modulation(table: Tensor, time: Tensor, x: Tensor) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    # A host that offloads weights may hold the table on another device than the tokens.
    return table.to(device=x.device, dtype=wide) + time.to(wide)


def _modulated(norm: nn.Module, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, norm(x.to(shift.dtype)), 1 + scale).to(x.dtype)


def _gated_sum(x: Tensor, y: Tensor, gate: Tensor) -> Tensor:
    return torch.addcmul(x.to(gate.dtype), y.to(gate.dtype), gate).to(x.dtype)
