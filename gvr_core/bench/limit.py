"""The speed limit of an operation on a machine: as fast as its matrix products and as its memory (ours).

`limit = max(FLOPs / measured matmul rate, bytes / measured copy rate)`. Both rates are measured, never taken from a
data sheet: in the same process, with the same dtype and threads, in turn with the operations that they judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .counts import Cost

MATMUL_SIZE, MATMUL_SIZE_GPU = {"cpu": 2048}, 4096
"""Rows of the square matrices, by kind of device."""
COPY_BYTES = 2**28
"""Larger than any cache."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a machine reaches.

    Attributes:
        matmul_flops: FLOP/s of the best large square matrix product.
        copy_bytes_per_s: bytes read and written per second by the best large copy.

    Raises:
        ValueError: a rate is not above 0.
    """

    matmul_flops: float
    copy_bytes_per_s: float

    def __post_init__(self) -> None:
        for name in ("matmul_flops", "copy_bytes_per_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a rate above 0: measure it again")


def limit_seconds(cost: Cost, rates: Rates) -> float:
    """The time that no implementation of this operation can beat, in seconds."""
    return max(cost.useful / rates.matmul_flops, cost.moved / rates.copy_bytes_per_s)


def is_memory_bound(cost: Cost, rates: Rates) -> bool:
    """True where the copies and not the products set the limit."""
    return cost.moved / rates.copy_bytes_per_s > cost.useful / rates.matmul_flops


def work_seconds(cost: Cost, rates: Rates) -> float:
    """As `limit_seconds` with the FLOPs that are executed: what times of other sizes are scaled by."""
    return max(cost.executed / rates.matmul_flops, cost.moved / rates.copy_bytes_per_s)


class RateMeter:
    """Two operations to run among others, and the rates from their best times.

    Args:
        device: where.
        dtype: of the numbers.
        rows: of the square matrices; None for a size that reaches the best rate.
        copy_bytes: what is copied; None for more than any cache holds.
    """

    def __init__(
        self, device: torch.device, dtype: torch.dtype, *, rows: int | None = None, copy_bytes: int | None = None
    ) -> None:
        n = rows or MATMUL_SIZE.get(device.type, MATMUL_SIZE_GPU)
        count = (copy_bytes or COPY_BYTES) // dtype.itemsize
        self._square = torch.randn(n, n, device=device, dtype=dtype)
        self._product = torch.empty_like(self._square)
        self._source = torch.ones(count, device=device, dtype=dtype)
        self._target = torch.zeros_like(self._source)
        self._work = {"matmul": 2.0 * n**3, "copy": 2.0 * count * dtype.itemsize}
        self._best: dict[str, float] = {}

    @property
    def operations(self) -> dict[str, Callable[[], Tensor]]:
        """The operations by name."""
        return {
            "matmul": lambda: torch.mm(self._square, self._square, out=self._product),
            "copy": lambda: self._target.copy_(self._source),
        }

    def update(self, name: str, seconds: float) -> None:
        """Take note of a time of operation `name`, in seconds."""
        self._best[name] = min(seconds, self._best.get(name, seconds))

    @property
    def rates(self) -> Rates:
        """From the best times so far; both operations must have been run."""
        return Rates(
            matmul_flops=self._work["matmul"] / self._best["matmul"],
            copy_bytes_per_s=self._work["copy"] / self._best["copy"],
        )
