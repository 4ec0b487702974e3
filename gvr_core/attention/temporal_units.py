"""Interleaving temporal units: 3-D attention inside short stretches of frames (S 4.4, figure 8).

S shifts the whole latent at every other layer. Here the cut is shifted instead of the latent, so that the ends of the
video never meet and nothing has to be masked ("ours").
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from .full import DenseAttention, SharedTokens
from .grid import TokenGrid


def unit_bounds(frames: int, unit: int, shifted: bool, shift: int = 2) -> list[tuple[int, int]]:
    """The (start, stop) frames of each unit, in order and without gaps.

    Unshifted, 20 frames in units of 5 are 5,5,5,5; shifted by 2 they are 2,5,5,5,3. A video that fits in one unit is
    never cut ("ours", the rule of Swin): a clip as short as those of the first training stage keeps full attention.

    Args:
        frames: Latent frames of the target, at least 1.
        unit: Latent frames in a unit, at least 2.
        shifted: True for odd layers.
        shift: Frames in the first unit of a shifted cut, 1 to `unit` - 1.

    Raises:
        ValueError: A number is out of its range.
    """
    if frames < 1 or unit < 2 or not 1 <= shift < unit:
        raise ValueError(
            f"cannot cut {frames} frames into units of {unit} shifted by {shift}: "
            "expected frames >= 1, unit >= 2 and 1 <= shift < unit"
        )
    if frames <= unit:
        return [(0, frames)]
    cuts = [0, *range(shift if shifted else unit, frames, unit), frames]
    return list(pairwise(cuts))


def unit_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    grid: TokenGrid,
    bounds: list[tuple[int, int]],
    dense: DenseAttention,
    shared: SharedTokens | None = None,
) -> Tensor:
    """Full attention inside each unit.

    A unit sees its own frames and all reference frames; reference frames see everything ("ours").

    Args:
        q: `b heads (t h w) d`, reference frames last; k and v alike.
        k: See `q`.
        v: See `q`.
        grid: Where the tokens lie.
        bounds: (start, stop) frames of each unit, as `unit_bounds` gives them.
        dense: The attention operation.
        shared: Keys and values that every query attends to besides.

    Returns:
        `b heads (t h w) d`.
    """
    if len(bounds) == 1:
        return dense(q, *_joined([k, v], shared))
    references = slice(grid.frames * grid.frame_length, grid.length)
    outputs = []
    for start, stop in bounds:
        unit = slice(start * grid.frame_length, stop * grid.frame_length)
        attended = [k[:, :, unit], v[:, :, unit]]
        if grid.references:
            attended = [torch.cat([x, y[:, :, references]], dim=2) for x, y in zip(attended, (k, v), strict=True)]
        outputs.append(dense(q[:, :, unit], *_joined(attended, shared)))
    if grid.references:
        outputs.append(dense(q[:, :, references], *_joined([k, v], shared)))
    return torch.cat(outputs, dim=2)


def _joined(attended: list[Tensor], shared: SharedTokens | None) -> list[Tensor]:
    """Keys and values with the shared ones behind them."""
    return attended if shared is None else [torch.cat(pair, dim=2) for pair in zip(attended, shared, strict=True)]
