"""The task as one module whose forward pass is the loss: what is wrapped for several processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..tasks import Task


class LossModule(nn.Module):
    """Calls `task.loss` in mixed precision; its parameters are those of `task.model`, nothing frozen is in it.

    Mixed precision is autocast here, and never left to a launcher: weights, gradients and optimiser are then float32
    on one device, under DDP and under FSDP2 alike, and checkpoints can go from one to the other.
    """

    def __init__(self, task: Task, *, bf16: bool) -> None:
        super().__init__()
        self.model = task.model
        self._bf16 = bf16
        self._loss = task.loss

    def forward(self, batch: dict[str, Any], sigma: float | None = None) -> tuple[Tensor, dict[str, float]]:
        """The mean loss of a group, a float32 scalar, and figures for the log."""
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self._bf16):
            loss, figures = self._loss(batch) if sigma is None else self._loss(batch, sigma=sigma)
        return loss.float(), figures
