"""Time and memory of a size that was not run, from counts and one calibration of the machine. Pure functions.

An operation is assumed to keep, at every size, the share of the limit that it reached in the calibration. That is exact
for the number of heads and layers, and close where sizes are large; it is an estimate and must be shown as one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from ..attention import AttentionConfig, TokenGrid
from ..models.dit_config import DiTConfig
from .counts import Cost, attention_cost, count_parameters, outside_cost, rest_cost
from .limit import Rates, work_seconds

Form = Literal["full", "units", "sparse"]
FORMS: tuple[Form, ...] = ("full", "units", "sparse")
REST = "rest"
"""Name of everything in a block that is not self-attention."""
HELD = 4
"""Token tensors that a block holds while it attends: its normed input, Q, K and V."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What one machine reached with one dtype.

    Attributes:
        machine: the device's name, for people.
        dtype: name of the dtype, such as "float32".
        rates: matrix products and copies.
        achieved: share of `limit.work_seconds` that each form's attention and "rest" reached, above 0.
        extra_memory: peak memory of a block beyond its input and weights for each form, in token tensors `b n dim`.

    Raises:
        ValueError: a figure is not a positive finite number.
    """

    machine: str
    dtype: str
    rates: Rates
    achieved: Mapping[str, float]
    extra_memory: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, figures in (("achieved share", self.achieved), ("extra memory", self.extra_memory)):
            for name, value in figures.items():
                if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
                    raise ValueError(
                        f"calibration has {what} {value!r} of {name}, expected a number above 0: run bench again"
                    )

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return {
            "machine": self.machine,
            "dtype": self.dtype,
            "rates": asdict(self.rates),
            "achieved": dict(self.achieved),
            "extra_memory": dict(self.extra_memory),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """The calibration that `to_dict` wrote.

        Raises:
            ValueError: a key is missing or unknown, or a value is out of range.
        """
        expected = {entry.name for entry in fields(cls)}
        if set(values) != expected:
            raise ValueError(
                f"calibration has the keys {', '.join(sorted(values))}, expected {', '.join(sorted(expected))}: "
                "run bench again with this version"
            )
        try:
            rates = Rates(**values["rates"])
        except TypeError as error:
            raise ValueError(
                f"calibration has rates {values['rates']!r}, expected matmul_flops and copy_bytes_per_s: "
                "run bench again"
            ) from error
        return cls(**{**values, "rates": rates})


def form_of(attention: AttentionConfig) -> Form:
    """The row of the tables that a config belongs to; sparse local attention inside units is "sparse"."""
    if attention.kind == "sparse_local":
        return "sparse"
    return "units" if attention.unit else "full"


def needed_shares(config: DiTConfig) -> set[str]:
    """What a calibration must have achieved for an estimate of the whole model."""
    dense = {"full"} if config.attention.dense_layers else set()
    return {REST, form_of(config.attention)} | dense


def attention_seconds(config: DiTConfig, grid: TokenGrid, calibration: Calibration, layer: int = 0) -> float:
    """Seconds of the self-attention operation alone in block `layer`."""
    cost = attention_cost(config, grid, itemsize_of(calibration.dtype), layer)
    form = "full" if layer in config.attention.dense_layers else form_of(config.attention)
    return _seconds(cost, form, calibration)


def rest_seconds(config: DiTConfig, grid: TokenGrid, calibration: Calibration) -> float:
    """Seconds of a block without that operation."""
    return _seconds(rest_cost(config, grid, itemsize_of(calibration.dtype)), REST, calibration)


def block_seconds(config: DiTConfig, grid: TokenGrid, calibration: Calibration, layer: int = 0) -> float:
    """Seconds of block `layer`."""
    return attention_seconds(config, grid, calibration, layer) + rest_seconds(config, grid, calibration)


def model_seconds(config: DiTConfig, grid: TokenGrid, calibration: Calibration) -> float:
    """Seconds of one evaluation of the model."""
    outside = _seconds(outside_cost(config, grid, itemsize_of(calibration.dtype)), REST, calibration)
    blocks = sum(attention_seconds(config, grid, calibration, layer) for layer in range(config.num_layers))
    return outside + blocks + config.num_layers * rest_seconds(config, grid, calibration)


def block_extra_bytes(config: DiTConfig, grid: TokenGrid, calibration: Calibration) -> float:
    """Peak bytes of a block beyond its input and its weights.

    Raises:
        ValueError: the calibration has no memory of this form.
    """
    form = form_of(config.attention)
    return _entry(calibration.extra_memory, form, "extra memory") * token_bytes(config, grid, calibration.dtype)


def model_bytes(config: DiTConfig, grid: TokenGrid, calibration: Calibration) -> float:
    """Peak bytes of one evaluation: weights, the tokens, and a block's own."""
    weights = count_parameters(config) * itemsize_of(calibration.dtype)
    tokens = token_bytes(config, grid, calibration.dtype)
    return weights + tokens + block_extra_bytes(config, grid, calibration)


def token_bytes(config: DiTConfig, grid: TokenGrid, dtype: str) -> int:
    """Bytes of one tensor of all tokens, `b n dim`; as many as of one query tensor."""
    return grid.length * config.dim * itemsize_of(dtype)


def itemsize_of(dtype: str) -> int:
    """Bytes of a number of the dtype called `dtype`. Raises ValueError for an unknown one."""
    sizes = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
    if dtype not in sizes:
        raise ValueError(f"dtype is {dtype!r}, expected one of {', '.join(sizes)}: choose one of them")
    return sizes[dtype]


def _seconds(cost: Cost, name: str, calibration: Calibration) -> float:
    return work_seconds(cost, calibration.rates) / _entry(calibration.achieved, name, "measured share")


def _entry(figures: Mapping[str, float], name: str, what: str) -> float:
    if name not in figures:
        raise ValueError(f"calibration has no {what} of {name!r}, it has {', '.join(figures)}: run bench again")
    return figures[name]
