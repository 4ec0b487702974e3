"""A look at clips that are never trained on: the loss at fixed noise levels, and what the task offers beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate.utils import gather_object
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import Dataset

from .step_report import mean
from .transfer import to_device

if TYPE_CHECKING:
    from .run import Run


class Validation:
    """Losses of `validation.groups` held-out groups with the averaged weights, at every one of `validation.sigmas`.

    A group's noise is drawn from the group's own seeds, so every look sees the same. A task without noise levels
    (`timesteps`) has one loss. A task with `validate(output, step) -> figures` is asked for it on the main process;
    where the weights are sharded that is not possible, there `train evaluate` on an export does it.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._groups: Dataset | None = None

    @property
    def is_due(self) -> bool:
        """Whether the config wants a look after the step that has just finished."""
        every = self._run.config.validation.every
        return bool(every) and (self._run.step % every == 0 or self._run.step == self._run.config.steps)

    def look(self) -> dict[str, float]:
        """The figures, named `validation/...`, on the main process; called by all processes."""
        run = self._run
        run.module.eval()
        with run.ema.swapped(run.model), torch.no_grad():
            figures = self._losses()
            if run.is_main and not run.is_sharded and hasattr(run.task, "validate"):
                measured = run.task.validate(Path(run.config.output), run.step)
                figures.update({f"validation/{name}": value for name, value in measured.items()})
            run.accelerator.wait_for_everyone()
        run.module.train()
        return figures

    def _losses(self) -> dict[str, float]:
        run, config = self._run, self._run.config.validation
        if self._groups is None:
            with run.accelerator.main_process_first():
                self._groups = run.task.groups(held_out=True)
        sigmas = config.sigmas if hasattr(run.task, "timesteps") else (None,)
        processes, mine = run.accelerator.num_processes, []
        # All processes call the module equally often: sharded weights are gathered in step. What is too much is
        # computed again and not counted.
        for first in range(0, config.groups, processes):
            number = first + run.accelerator.process_index
            batch = to_device(self._groups[number % config.groups], run.device)
            for sigma in sigmas:
                loss, _ = run.module(batch, sigma)
                if number < config.groups:
                    mine.append((sigma, float(loss)))
        for module in run.module.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # without a backward pass nothing else does
        losses = gather_object(mine)
        figures = {"validation/loss": mean([loss for _, loss in losses])}
        if len(sigmas) > 1:
            for sigma in sigmas:
                figures[f"validation/loss_{sigma:g}"] = mean([loss for s, loss in losses if s == sigma])
        return figures
