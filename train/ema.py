"""Exponential moving average of the trained weights, kept in float32 beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Average of the trained parameters; early steps use a shorter memory so that the start is forgotten.

    Works elementwise on whatever the parameters are: where they are sharded (DTensor), each process averages its shard.

    Attributes:
        decay: 0 keeps no average: `weights` is empty.
        weights: by parameter name.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad] if decay else []
        self.weights: dict[str, Tensor] = {n: p.detach().float().clone() for n, p in trained}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the parameters after optimiser step number `step` (from 0)."""
        if not self.weights:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in model.named_parameters():
            if name in self.weights:
                self.weights[name].lerp_(parameter.detach().float(), 1 - decay)

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """Inside, the model has the averaged weights and `weights` holds the model's; exchanged one by one.

        The trained parameters must be float32, else the average would be rounded.
        """
        self._exchange(model)
        try:
            yield
        finally:
            self._exchange(model)

    @torch.no_grad()
    def _exchange(self, model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if name in self.weights:
                average = self.weights[name]
                kept = parameter.detach().clone()
                parameter.copy_(average)
                average.copy_(kept)
