"""What is known of a checkpoint before it is loaded: its header and how it will be loaded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open

from ..gvr_core.bench.counts import count_parameters
from ..gvr_core.cascade import nano_path
from ..gvr_core.checkpoints import Header, read_cascade_header
from ..gvr_core.models.dit_config import DiTConfig
from . import host
from .choices import check_choice
from .loaders import DTYPES, NANO

STORED = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""Dtypes by safetensors' names."""
PROBE = "blocks.0.self_attn.q.weight"
"""A tensor that every DiT has, large enough to be stored as most of them are."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A checkpoint.

    Attributes:
        header: of the file.
        config: of its DiT.
        compute_dtype: name of the dtype it will compute in.
        weight_bytes: of the DiT as it will be loaded.
    """

    header: Header
    config: DiTConfig
    compute_dtype: str
    weight_bytes: int


def checkpoint_facts(checkpoint: str, weight_dtype: str = "default") -> Facts:
    """Facts of a checkpoint by the names that Load GVR Cascade has for it.

    Raises:
        ValueError: no such checkpoint, or one that cannot be read.
    """
    check_choice("weight_dtype", weight_dtype, DTYPES)
    path = nano_path() if checkpoint == NANO else host.model_path(checkpoint)
    status = path.stat()
    header, stored = _read(path, status.st_mtime_ns, status.st_size)
    config = DiTConfig.from_dict(header.parts["dit"])
    parameters = count_parameters(config)
    weights, cast = host.plan_dtypes(stored, parameters, DTYPES[weight_dtype])
    return Facts(
        header=header,
        config=config,
        compute_dtype=str(cast or weights).removeprefix("torch."),
        weight_bytes=parameters * weights.itemsize,
    )


@lru_cache(maxsize=8)
def _read(path: Path, _time: int, _size: int) -> tuple[Header, torch.dtype | None]:
    header = read_cascade_header(path)
    with safe_open(path, framework="pt") as file:
        name = file.get_slice(PROBE).get_dtype() if PROBE in file.keys() else ""  # noqa: SIM118  no mapping
    return header, STORED.get(name)
