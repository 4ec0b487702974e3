"""A run under way: model, optimiser, average and the number of finished steps, on one process or on many."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType, InitProcessGroupKwargs
from accelerate.utils import gather_object
from torch import Tensor, nn

from ..checkpoint import load_tensors, read_run, save_checkpoint, tensor_shapes
from ..ema import Ema
from ..fit_config import FitConfig
from ..same_run import check_same_run
from ..tasks import Task
from .group_sampler import GroupSampler
from .learning_rate import learning_rate
from .loss_module import LossModule
from .step_report import StepReport, merge
from .stop_signal import StopSignal
from .throughput import TokenMeter, peak_memory
from .transfer import to_device
from .update import Update, make_update

log = logging.getLogger("gvr")

MOST_SKIPPED = 20
"""Steps in a row without a finite loss and gradient that a run puts up with."""
PATIENCE = timedelta(hours=2)
"""How long processes wait for one that prepares data or samples videos."""


class DivergedError(ValueError):
    """The loss or the gradient stays infinite or NaN."""


def make_accelerator() -> Accelerator:
    """One process, or as many as the launcher started; float32, see `LossModule`. The CPU where there is nothing else.

    Raises:
        ValueError: a launch that this trainer has no path for.
    """
    accelerator = Accelerator(
        mixed_precision="no",
        cpu=None if torch.accelerator.is_available() else True,
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=PATIENCE),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),  # else the gradients are there twice
        ],
    )
    if accelerator.distributed_type == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise ValueError("FSDP 1 is not supported: set fsdp_version: 2, as train/launch/fsdp2.yaml does")
    return accelerator


class Run:
    """See the module. Order: create, `start` for a fresh run, `prepare`, `load` for one that goes on, `train_step`.

    Attributes:
        task: what is learnt.
        model: `task.model`, on the device; sharded after `prepare` under FSDP2.
        module: the loss as one module, as it is called; wrapped after `prepare`.
        step: finished steps.
        skipped: those that changed nothing.
        skipped_in_a_row: the last ones of them.
    """

    def __init__(self, config: FitConfig, task: Task, accelerator: Accelerator | None = None) -> None:
        self.config, self.task = config, task
        self.accelerator = accelerator or make_accelerator()
        self.step = self.skipped = self.skipped_in_a_row = 0
        self.sampler(0)  # tells whether these processes can share a step
        self.model: nn.Module = task.model
        # Twice the speed of 3-D convolutions in bf16 on CPUs, and what cuDNN prefers too; shards have no layout.
        is_plain = self.accelerator.distributed_type not in ("FSDP", "DEEPSPEED")
        layout = torch.channels_last_3d if is_plain else torch.preserve_format
        self.model.to(self.device, memory_format=layout)
        for module in task.frozen:
            module.to(self.device)
        self.meter = TokenMeter(self.model)
        self.module: nn.Module = LossModule(task, bf16=config.precision == "bf16")
        self.update: Update | None = None
        self.ema = Ema(self.model, 0)

    @property
    def device(self) -> torch.device:
        """Of this process."""
        return self.accelerator.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files."""
        return self.accelerator.is_main_process

    @property
    def is_sharded(self) -> bool:
        """Whether each process holds only a part of the weights."""
        return self.accelerator.distributed_type == DistributedType.FSDP

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return learning_rate(self.config.optim, self.step, self.config.steps)

    def sampler(self, first_step: int) -> GroupSampler:
        """The groups of this process from a step on."""
        return GroupSampler(
            groups_per_step=self.config.batch // self.config.group,
            first_step=first_step,
            steps=self.config.steps,
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )

    def start(self) -> None:
        """Initialise a fresh run: on the main process, the others get its weights."""
        if self.is_main:
            self.task.start()
        if self.accelerator.num_processes > 1:
            _broadcast(self.model)

    def prepare(self) -> None:
        """Make the optimiser, wrap the module for several processes, begin the average with the weights as they are."""
        optim = self.config.optim
        trained = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        for name, parameter in trained:
            if parameter.dtype != torch.float32:
                raise ValueError(f"{name} is trained and {parameter.dtype}, expected float32: mixed precision is cast")
        optimizer = torch.optim.AdamW(
            [p for _, p in trained], lr=optim.learning_rate, betas=tuple(optim.betas), weight_decay=optim.weight_decay
        )
        self.update = make_update(self.accelerator, self.module, optimizer, optim.clip_norm)
        self.module = self.update.module
        self.ema = Ema(self.model, optim.ema_decay)

    def tensors(self) -> dict[str, Tensor]:
        """The state of the run by name; the tensors themselves, not copies."""
        named = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        named.update({f"ema.{name}": tensor for name, tensor in self.ema.weights.items()})
        named.update({f"optimizer.{name}": tensor for name, tensor in self.update.tensors(self.model).items()})
        return named

    def save(self) -> Path:
        """Write a checkpoint; called by all processes."""
        return save_checkpoint(
            Path(self.config.output),
            self.tensors(),
            self.config,
            step=self.step,
            skipped=self.skipped,
            is_main=self.is_main,
            barrier=self.accelerator.wait_for_everyone,
            save_more=self.update.save,
        )

    @torch.no_grad()
    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint of this run; called by all processes.

        Raises:
            ValueError: it is of another run or of another model.
        """
        about = read_run(checkpoint)
        check_same_run(checkpoint, about["config"], self.config)
        stored = {
            name.removeprefix("optimizer.") for name in tensor_shapes(checkpoint) if name.startswith("optimizer.")
        }
        self.update.expect(self.model, stored)
        load_tensors(checkpoint, self.tensors())
        self.update.load(checkpoint)
        self.step, self.skipped = about["step"], about["skipped"]

    def train_step(self, groups: Iterator[dict[str, Any]], *, stop: StopSignal | None = None) -> StepReport:
        """One optimiser step on this process's next groups.

        Losses and gradients that are not finite, on any process, leave all weights alone on all processes.

        Args:
            groups: samples, ready for the loss.
            stop: says whether this process got a signal.

        Returns:
            The step as a whole, the same on every process.

        Raises:
            DivergedError: too many steps in a row changed nothing.
        """
        for group in self.update.optimizer.param_groups:
            group["lr"] = self.learning_rate
        mine = StepReport()
        count = self.sampler(self.step).accumulation
        results = []
        for index in range(count):
            begun = time.perf_counter()
            batch = to_device(next(groups), self.device)
            mine.waited += time.perf_counter() - begun
            with self.update.accumulate(is_last=index == count - 1):
                loss, figures = self.module(batch)
                self.update.backward(loss / count)
            results.append((loss.detach(), figures))
        mine.norm = self.update.clip()
        for loss, figures in results:
            mine.add(loss, figures)
        mine.tokens, mine.flops = self.meter.take()
        mine.memory = peak_memory(self.device)
        mine.stop = stop.received if stop else None

        whole = merge(gather_object([mine]))
        self.update.finish(go=whole.is_finite)
        if whole.is_finite:
            self.ema.update(self.model, self.step)
            self.skipped_in_a_row = 0
        else:
            self.skipped += 1
            self.skipped_in_a_row += 1
        self.step += 1
        self._tell_of_skip(whole)
        return whole

    def _tell_of_skip(self, whole: StepReport) -> None:
        if not self.skipped_in_a_row:
            return
        what = f"losses {[round(loss, 4) for loss in whole.losses]}, gradient norm {whole.norm}"
        if self.is_main:
            log.warning("step %d: %s: not finite, no weight changed", self.step, what)
        if self.skipped_in_a_row >= MOST_SKIPPED:
            raise DivergedError(
                f"{MOST_SKIPPED} steps in a row, to step {self.step}, had a loss or gradient that is not finite "
                f"({what}): lower optim.learning_rate, look at the samples, and go on from the last checkpoint"
            )


@torch.no_grad()
def _broadcast(model: nn.Module) -> None:
    """Give all processes the main process's weights and buffers."""
    for tensor in [*model.parameters(), *model.buffers()]:
        dense = tensor.detach().contiguous()
        torch.distributed.broadcast(dense, src=0)
        tensor.copy_(dense)
