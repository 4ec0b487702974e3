"""The training loop: accelerate around a task, with a log line a step, an average of the weights and exact resume."""

from __future__ import annotations

import json
import logging
import math
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm import tqdm

from .checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from .config import FitConfig
from .data import ClipDataset
from .ema import Ema
from .plan import BatchPlan
from .tasks import Task, make_task

log = logging.getLogger("gvr")


def learning_rate(config: FitConfig, step: int) -> float:
    """Linear warm-up, then a cosine to a tenth of the peak at the last step."""
    optim = config.optim
    if step < optim.warmup_steps:
        return optim.learning_rate * (step + 1) / optim.warmup_steps
    progress = (step - optim.warmup_steps) / max(config.steps - optim.warmup_steps, 1)
    return optim.learning_rate * (0.55 + 0.45 * math.cos(math.pi * progress))


class Run:
    """A run under way: model, optimiser, average and the number of finished steps."""

    def __init__(self, config: FitConfig) -> None:
        torch.manual_seed(config.seed)  # initial weights; everything later is drawn from the plan's seeds
        self.config = config
        self.accelerator = Accelerator(mixed_precision="bf16" if config.precision == "bf16" else "no")
        if self.accelerator.num_processes > 1:
            raise ValueError(
                f"this run was launched on {self.accelerator.num_processes} processes, training uses one so far: "
                "start it with `python -m train` instead of a launcher"
            )
        self.task: Task = make_task(config.task, config.model, config.objective)
        # Twice the speed of 3-D convolutions in bf16 on CPUs, and what cuDNN prefers too.
        self.model = self.task.model.to(self.accelerator.device, memory_format=torch.channels_last_3d)
        for module in self.task.frozen:
            module.to(self.accelerator.device)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad],
            lr=config.optim.learning_rate,
            weight_decay=config.optim.weight_decay,
        )
        self.optimizer = self.accelerator.prepare(self.optimizer)
        self.step = 0
        self.ema = Ema(self.model, config.optim.ema_decay)

    def state_dict(self) -> dict[str, object]:
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])

    def train_step(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """One optimiser step; a loss or gradient that is not finite leaves the weights alone and says so."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        with self.accelerator.autocast():
            loss, figures = self.task.loss(batch)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.optim.clip_norm)
        finite = bool(torch.isfinite(loss)) and bool(torch.isfinite(norm))
        if finite:
            self.optimizer.step()
            self.ema.update(self.model, self.step)
        else:
            log.warning(
                "step %d: loss %s, gradient norm %s: step skipped", self.step, float(loss.detach()), float(norm)
            )
        self.optimizer.zero_grad()
        self.step += 1
        return {"loss": float(loss.detach()), "norm": float(norm), "skipped": float(not finite), **figures}


def fit(config: FitConfig, *, resume: bool = False) -> Path:
    """Train to `config.steps` and return the last checkpoint.

    Args:
        config: the run.
        resume: go on from the newest checkpoint in `config.output`.

    Raises:
        ValueError: the output holds another run, nothing to resume, or data that cannot be used.
    """
    output = Path(config.output)
    newest = latest_checkpoint(output)
    if newest and not resume:
        raise ValueError(f"{output} already holds a run ({newest.name}): add --resume latest, or choose another output")
    if resume and not newest:
        raise ValueError(f"nothing to resume in {output}: no checkpoint there")
    output.mkdir(parents=True, exist_ok=True)
    clips = ClipDataset(config.data, config.seed)
    run = Run(config)
    if newest:
        run.load_state_dict(load_checkpoint(newest, config))
    else:
        run.task.start(clips)
        run.ema = Ema(run.model, config.optim.ema_decay)
    with run.accelerator.autocast():
        samples = run.task.samples(clips)
    loader = DataLoader(samples, batch_sampler=BatchPlan(config.batch, run.step, config.steps))
    saved = newest
    with (output / "log.jsonl").open("a", encoding="utf-8") as logfile:
        bar = tqdm(loader, initial=run.step, total=config.steps, desc=config.task, unit="step", mininterval=5)
        for batch in bar:
            started = time.perf_counter()
            figures = run.train_step({k: v.to(run.accelerator.device) for k, v in batch.items()})
            entry = {"step": run.step, "seconds": round(time.perf_counter() - started, 3), **figures}
            logfile.write(json.dumps(entry) + "\n")
            logfile.flush()
            bar.set_postfix({k: f"{v:.4g}" for k, v in figures.items()})
            if run.step % config.save_every == 0 or run.step == config.steps:
                saved = save_checkpoint(output, run.state_dict(), config)
    return saved
