"""What a run can learn: each task builds its model and turns a group of samples into a loss."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn
from torch.utils.data import Dataset

from ..fit_config import FitConfig


class Task(Protocol):
    """One objective.

    Attributes:
        model: everything that is trained: what optimiser, average and checkpoints see.
        frozen: modules that only take part; the loop moves them to the device of the model.
    """

    model: nn.Module
    frozen: tuple[nn.Module, ...]

    def groups(self, *, held_out: bool = False) -> Dataset:
        """Map-style: item g is group g of the run, ready for `loss`; with `held_out`, of clips never trained on."""

    def start(self) -> None:
        """Initialise what needs data or the weights of another model (called once, for a fresh run only)."""

    def loss(self, batch: dict[str, Any], *, sigma: float | None = None) -> tuple[Tensor, dict[str, float]]:
        """Scalar mean loss of a group and figures for the log; `sigma` fixes the noise level, for validation."""

    def modules(self) -> dict[str, nn.Module]:
        """The trained parts of a checkpoint ("dit", "upsampler", "vae") by name."""

    def part_configs(self) -> dict[str, dict[str, Any]]:
        """Their configs, for a checkpoint's header."""

    def statistics(self) -> dict[str, Any]:
        """Figures measured on training samples that later stages or hosts need, for a checkpoint's header."""


def make_task(config: FitConfig) -> Task:
    """The task of a run.

    Raises:
        ValueError: unknown task or config key, or weights that cannot be read.
    """
    from .cascade import CascadeTask
    from .pair_upsampler import PairUpsamplerTask
    from .upsampler import UpsamplerTask
    from .vae import VAETask

    has_pairs = config.data.source == "pairs"
    if config.task == "vae" and has_pairs:
        raise ValueError("task vae learns from pixels: set data.source to clips, not pairs")
    tasks = {
        "vae": VAETask,
        "upsampler": PairUpsamplerTask if has_pairs else UpsamplerTask,
        "cascade": CascadeTask,
    }
    if config.task not in tasks:
        raise ValueError(f"unknown task {config.task!r}, expected one of {', '.join(tasks)}")
    return tasks[config.task](config)
