"""Rotary position embedding over time, height and width, with Wan 2.1's split of the head and its arithmetic.

A head of d channels is d/2 pairs `(2i, 2i+1)`, each turned by `position * frequency`. The first `d - 4 * (d // 6)`
channels turn with the time index, the next `2 * (d // 6)` with the row and the last `2 * (d // 6)` with the column.
Reference frames share the rows and columns of the target and have time indices of their own (U 3.2, A.5.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import repeat
from torch import Tensor

THETA = 10000.0
"""Base of the frequencies, Wan's value."""


@dataclass(frozen=True, eq=False)
class Rotary:
    """Cosines and sines of every token's angles.

    A plain object and not a tuple on purpose: FSDP casts the float tensors it finds in a block's arguments to bfloat16,
    and at bfloat16 neighbouring positions become the same.

    Attributes:
        cos: `n d/2`, float32, tokens in the order `t h w`.
        sin: the same.
    """

    cos: Tensor
    sin: Tensor


def axis_channels(head_dim: int) -> tuple[int, int, int]:
    """Channels of a head that turn with (time, row, column); they add up to `head_dim`.

    Raises:
        ValueError: `head_dim` is not a positive even number.
    """
    if head_dim < 2 or head_dim % 2:
        raise ValueError(f"attention heads have {head_dim} channels, expected an even number: change dim or num_heads")
    spatial = 2 * (head_dim // 6)
    return head_dim - 2 * spatial, spatial, spatial


def rotary_table(head_dim: int, times: Sequence[int], height: int, width: int, *, device: torch.device) -> Rotary:
    """The angles of a grid of tokens.

    Args:
        head_dim: channels of an attention head, even.
        times: time index of each frame, target and references, in token order.
        height: rows of tokens.
        width: columns of tokens.
        device: where the table is needed.

    Returns:
        Tables for `len(times) * height * width` tokens.

    Raises:
        ValueError: `head_dim` is not a positive even number.
    """
    positions = (times, range(height), range(width))
    cosines, sines = [], []
    for channels, indices in zip(axis_channels(head_dim), positions, strict=True):
        # float64 on the CPU: the angle of a late position loses digits in float32, and MPS has no float64.
        frequencies = THETA ** (-torch.arange(0, channels, 2, dtype=torch.float64) / max(channels, 1))
        angles = torch.outer(torch.tensor(list(indices), dtype=torch.float64), frequencies)
        cosines.append(angles.cos().float().to(device))
        sines.append(angles.sin().float().to(device))
    return Rotary(cos=_spread(*cosines), sin=_spread(*sines))


def apply_rotary(x: Tensor, rotary: Rotary) -> Tensor:
    """`x` with each pair of channels turned by its token's angle, computed in at least float32.

    Args:
        x: queries or keys, `b heads n d`.
        rotary: the table of the same n tokens.

    Returns:
        `b heads n d` in the dtype of `x`.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    even, odd = x.to(wide).unflatten(-1, (-1, 2)).unbind(-1)  # b heads n pair
    turned = torch.stack([even * rotary.cos - odd * rotary.sin, even * rotary.sin + odd * rotary.cos], dim=-1)
    return turned.flatten(-2).to(x.dtype)


def _spread(time: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """The three axes' tables `t d1`, `h d2`, `w d3` as one, `(t h w) (d1 d2 d3)`."""
    t, h, w = len(time), len(row), len(column)
    return torch.cat(
        [
            repeat(time, "t d -> (t h w) d", h=h, w=w),
            repeat(row, "h d -> (t h w) d", t=t, w=w),
            repeat(column, "w d -> (t h w) d", t=t, h=h),
        ],
        dim=-1,
    )
