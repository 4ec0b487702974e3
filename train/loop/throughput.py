"""How fast a run is: tokens and FLOPs of the transformer, and the matrix rate of the device to compare them with.

MFU is model FLOPs over device FLOPs. Model FLOPs are those that the result needs: forward and backward of the
transformer, without what gradient checkpointing computes again, without overlapping windows, without the autoencoder.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gvr_core.attention import TokenGrid
from gvr_core.bench.counts import model_cost
from gvr_core.bench.measure import time_once
from gvr_core.models.dit import DiT

log = logging.getLogger("gvr")

DATA_SHEET = {
    "H200": 989e12,
    "H100 80GB HBM3": 989e12,
    "H100 SXM": 989e12,
    "H800": 989e12,
    "H100 PCIe": 756e12,
    "A100": 312e12,
    "A800": 312e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
"""Dense bfloat16 FLOP/s with float32 accumulation, from the vendor's data sheets, by a part of the device's name."""

MATRIX = {"cpu": 1024}
MATRIX_GPU = 8192
RUNS = 3


class TokenMeter:
    """Counts what goes through the transformers inside a module while gradients are taken."""

    def __init__(self, model: nn.Module) -> None:
        self._tokens, self._flops = 0, 0.0
        self._known: dict[Any, int] = {}
        self._transformers = [module for module in model.modules() if isinstance(module, DiT)]
        for module in self._transformers:
            numbers = [p.numel() for p in module.parameters()]
            trained = sum(p.numel() for p in module.parameters() if p.requires_grad) / max(sum(numbers), 1)
            # Backward: the gradient of the tokens costs a forward, that of the trained weights another one.
            factor = 2 + trained
            module.register_forward_pre_hook(
                lambda dit, args, kwargs, factor=factor: self._count(dit, args, kwargs, factor), with_kwargs=True
            )

    @property
    def has_transformer(self) -> bool:
        """Whether there is anything to count."""
        return bool(self._transformers)

    def take(self) -> tuple[int, float]:
        """Tokens and FLOPs, forward and backward, since the last call."""
        taken = self._tokens, self._flops
        self._tokens, self._flops = 0, 0.0
        return taken

    def _count(self, dit: DiT, args: tuple, kwargs: dict[str, Any], factor: float) -> None:
        if not torch.is_grad_enabled():
            return
        x = args[0] if args else kwargs["x"]
        _, rows, columns = dit.config.patch_size
        grid = TokenGrid(
            frames=x.shape[2],
            references=len(kwargs.get("reference_times", ())),
            height=x.shape[3] // rows,
            width=x.shape[4] // columns,
        )
        key = (dit.config, dit.attention, grid)
        if key not in self._known:
            config = replace(dit.config, attention=dit.attention)
            self._known[key] = model_cost(config, grid, itemsize=4).useful
        self._tokens += len(x) * grid.length
        self._flops += len(x) * self._known[key] * factor


def device_peak(device: torch.device, *, bf16: bool) -> tuple[float, str]:
    """FLOP/s that MFU is a share of, and what that number is.

    The data sheet's for bfloat16 on a device of `DATA_SHEET`, else that of large matrix products, measured now.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    if device.type == "cuda" and bf16:
        name = torch.cuda.get_device_name(device)
        for part, rate in DATA_SHEET.items():
            if part in name:
                return rate, f"data sheet of {part}, bfloat16"
    n = MATRIX.get(device.type, MATRIX_GPU)
    square = torch.randn(n, n, device=device, dtype=dtype)
    product = torch.empty_like(square)
    seconds = min(time_once(lambda: torch.mm(square, square, out=product), device)[0] for _ in range(RUNS + 1))
    return 2.0 * n**3 / seconds, f"measured matrix products, {str(dtype).removeprefix('torch.')}"


def peak_memory(device: torch.device) -> int:
    """Most memory used so far, bytes: tensors on a CUDA device, else the process's largest residence (0 on Windows)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
