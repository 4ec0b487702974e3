"""Full attention: the dense operation that every other form is built on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

DenseAttention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(q, k, v) -> out, softmax(q k^T / sqrt(d)) v on `b heads n d`; k and v may have another length than q."""


class SharedTokens(NamedTuple):
    """Keys and values beside the video's that every query attends to, for instance a joint model's text tokens.

    Attributes:
        k: `b heads m d`.
        v: `b heads m d`.
    """

    k: Tensor
    v: Tensor


def full_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Every query attends to every key.

    Args:
        q: `b heads n d`.
        k: `b heads m d`.
        v: `b heads m d`.

    Returns:
        `b heads n d` in the dtype of `v`.
    """
    # Without a mask on purpose: a mask rules out the flash kernel.
    return functional.scaled_dot_product_attention(q, k, v)
