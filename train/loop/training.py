"""Training from the first step, or from a checkpoint, to the last one."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from tqdm import tqdm

from .. import tasks
from ..checkpoint import latest_checkpoint
from ..fit_config import FitConfig
from .batches import load_groups
from .run import Run, make_accelerator
from .step_report import StepReport, mean
from .stop_signal import StopSignal
from .throughput import device_peak
from .trackers import Tracker, make_trackers
from .validation import Validation

log = logging.getLogger("gvr")

RESUME = ("latest", "auto")


def fit(config: FitConfig, *, resume: str | None = None) -> Path:
    """Train to `config.steps`, or until a signal asks for a stop, and return the last checkpoint.

    Started on several processes, each of them calls this.

    Args:
        config: the run.
        resume: "latest" goes on from the newest checkpoint in `config.output`, "auto" too, or begins where there is
            none; None begins.

    Raises:
        ValueError: the output holds another run, nothing to resume, processes that do not fit the batch, or data that
            cannot be used.
        DivergedError: the loss stays infinite or NaN.
    """
    accelerator = make_accelerator()
    newest = find_start(Path(config.output), resume)
    accelerator.wait_for_everyone()  # nobody writes before all have looked
    with StopSignal() as stop:
        run = begin(config, newest, accelerator)
        return _train(run, newest, stop)


def find_start(output: Path, resume: str | None) -> Path | None:
    """The checkpoint to go on from, None to begin.

    Raises:
        ValueError: there is a run and nobody asked to go on with it, or the other way round.
    """
    newest = latest_checkpoint(output)
    if newest and resume is None:
        raise ValueError(f"{output} already holds a run ({newest.name}): add --resume latest, or choose another output")
    if resume == "latest" and not newest:
        raise ValueError(f"nothing to resume in {output}: no checkpoint there")
    return newest


def begin(config: FitConfig, checkpoint: Path | None, accelerator: Accelerator) -> Run:
    """The run, ready for its next step."""
    torch.manual_seed(config.seed)  # initial weights; everything later is drawn from the plan's own seeds
    run = Run(config, tasks.make_task(config), accelerator)
    if checkpoint is None:
        run.start()
    run.prepare()
    if checkpoint is not None:
        run.load(checkpoint)
    return run


def _train(run: Run, saved: Path | None, stop: StopSignal) -> Path:
    config, output = run.config, Path(run.config.output)
    trackers: list[Tracker] = []
    if run.is_main:
        output.mkdir(parents=True, exist_ok=True)
        for rest in output.glob("step-*.partial"):
            shutil.rmtree(rest)
        trackers = make_trackers(config, output, run.step)
    groups = load_groups(run)
    validation = Validation(run)
    peak, peak_name = device_peak(run.device, bf16=config.precision == "bf16") if run.meter.has_transformer else (0, "")
    _tell(run, peak, peak_name)
    bar = tqdm(
        total=config.steps, initial=run.step, desc=config.task, unit="step", mininterval=5, disable=not run.is_main
    )
    try:
        while run.step < config.steps:
            begun = time.perf_counter()
            report = run.train_step(groups, stop=stop)
            figures = step_figures(run, report, time.perf_counter() - begun, peak)
            bar.update()
            bar.set_postfix(loss=f"{figures['loss']:.4g}")
            write_all(trackers, run.step, figures)
            if validation.is_due:
                write_all(trackers, run.step, validation.look())
            if run.step % config.save_every == 0 or run.step == config.steps or report.stop:
                saved = run.save()
            if report.stop:
                if run.is_main:
                    log.info("%s: saved after step %d and stopped; --resume latest goes on", report.stop, run.step)
                break
    finally:
        bar.close()
        for tracker in trackers:
            tracker.close()
    return saved


def write_all(trackers: list[Tracker], step: int, figures: dict[str, float]) -> None:
    """Give every tracker the figures of a step; nothing where there are none."""
    for tracker in trackers if figures else []:
        tracker.write(step, figures)


def step_figures(run: Run, report: StepReport, seconds: float, peak: float) -> dict[str, float]:
    """What the log says of a step.

    Args:
        run: after the step.
        report: of the step.
        seconds: that it took.
        peak: FLOP/s of one device; 0 where there is no transformer.
    """
    figures = {
        "loss": mean(report.losses),
        **{name: mean(values) for name, values in report.figures.items()},
        "norm": report.norm,
        "learning_rate": run.update.optimizer.param_groups[0]["lr"],
        "skipped": float(run.skipped_in_a_row > 0),
        "skipped_in_all": float(run.skipped),
        "seconds": round(seconds, 4),
        "waited": round(report.waited, 4),
        "samples_per_second": run.config.batch / seconds,
        "memory_gib": report.memory / 2**30,
    }
    if report.tokens:
        figures["tokens_per_second"] = report.tokens / seconds
        figures["mfu"] = report.flops / (seconds * run.accelerator.num_processes * peak)
    return figures


def _tell(run: Run, peak: float, peak_name: str) -> None:
    if not run.is_main:
        return
    sampler = run.sampler(run.step)
    log.info(
        "%d process%s on %s: %d samples a step in groups of %d, %d group%s each",
        sampler.processes,
        "es" if sampler.processes > 1 else "",
        run.device.type,
        run.config.batch,
        run.config.group,
        sampler.accumulation,
        "s" if sampler.accumulation > 1 else "",
    )
    if peak:
        log.info("MFU is a share of %.3g FLOP/s (%s)", peak, peak_name)
