"""What a run can learn: each task builds its model and turns a batch into a loss."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn
from torch.utils.data import Dataset

from ..data import ClipDataset


class Task(Protocol):
    """One objective.

    Attributes:
        part: name of the trained part in a checkpoint ("vae", "upsampler" or "dit").
        model: the trained module; it is what the optimiser, the average and the checkpoints see.
        frozen: modules that only take part; the loop moves them to the device of the model.
    """

    part: str
    model: nn.Module
    frozen: tuple[nn.Module, ...]

    def samples(self, clips: ClipDataset) -> Dataset:
        """What `loss` gets its batches from: the clips themselves, or something made of them once."""

    def start(self, clips: ClipDataset) -> None:
        """Initialise what needs data (called once, for a fresh run only)."""

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Scalar loss of a batch of `samples` and figures for the log."""

    def part_config(self) -> dict[str, Any]:
        """The config of the trained part, for a checkpoint's header."""

    def statistics(self, clips: ClipDataset) -> dict[str, Any]:
        """Figures measured on training samples that later stages need, for a checkpoint's header."""


def make_task(name: str, model: dict[str, Any], objective: dict[str, Any]) -> Task:
    """The task called `name` with its two config sections.

    Raises:
        ValueError: unknown task or config key.
    """
    from .dit import DiTTask
    from .upsampler import UpsamplerTask
    from .vae import VAETask

    tasks = {"vae": VAETask, "upsampler": UpsamplerTask, "dit": DiTTask}
    if name not in tasks:
        raise ValueError(f"unknown task {name!r}, expected one of {', '.join(tasks)}")
    return tasks[name](model, objective)
