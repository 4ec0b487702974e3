"""What a process of a run keeps in memory, and what one forward and backward pass takes beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one device.

    Attributes:
        weights: of the trained module, the frozen ones in it included.
        gradients: as large as the trained weights.
        optimizer: AdamW's two averages.
        ema: the average of the trained weights, in float32.
        frozen: modules that only take part.
        activations: most that a forward and backward pass of one group took beside all that, measured.
    """

    weights: int
    gradients: int
    optimizer: int
    ema: int
    frozen: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


def forecast(
    model: nn.Module, frozen: Iterable[nn.Module], *, has_ema: bool, activations: int, shards: int = 1
) -> Memory:
    """Memory of one process.

    Args:
        model: the trained module, whole.
        frozen: modules beside it.
        has_ema: whether an average is kept.
        activations: bytes of `measure_pass`.
        shards: processes that share weights, gradients, optimiser and average (FSDP2); 1 where each has all of it.
    """
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    weights = size_of([*model.parameters(), *model.buffers()])
    return Memory(
        weights=weights // shards,
        gradients=4 * trained // shards,
        optimizer=8 * trained // shards,
        ema=4 * trained * has_ema // shards,
        frozen=sum(size_of([*m.parameters(), *m.buffers()]) for m in frozen),
        activations=activations,
    )


def size_of(tensors: Iterable[Tensor]) -> int:
    """Bytes of whole tensors."""
    return sum(t.numel() * t.element_size() for t in tensors)


def measure_pass(call: Callable[[], None], device: torch.device) -> int:
    """Most bytes of tensors that were alive in a call beyond those that it left behind; those are its gradients."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - torch.cuda.memory_allocated(device)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        call()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    alive = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        alive += event.nbytes()
        most = max(most, alive)
    return most - alive
