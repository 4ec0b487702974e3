"""What a run would be, and one group through it: everything that goes wrong early goes wrong here, nothing is saved."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from typing import Any

import torch
import yaml
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from . import tasks
from .fit_config import FitConfig
from .loop.run import Run, make_accelerator
from .loop.transfer import to_device
from .memory_forecast import forecast, measure_pass

DRAWS, BARS, WIDTH = 10_000, 20, 40
"""Sigmas drawn for the histogram, its bars, and the longest bar in characters."""


def dry_run(config: FitConfig) -> str:
    """A report of a fresh run with this config, on as many processes as were started; the main process's is whole.

    The loss of one group is computed and taken back through the model, but no weight is changed and nothing written
    but what the data keep in their cache.

    Raises:
        ValueError: as `fit`, except that the output may hold a run.
    """
    torch.manual_seed(config.seed)
    run = Run(config, tasks.make_task(config), make_accelerator())
    parameters = _parameters(run)
    run.start()
    run.prepare()
    with run.accelerator.main_process_first():
        groups = run.task.groups()
    figures = _one_group(run, to_device(groups[run.accelerator.process_index], run.device))
    sections = {
        "config": yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, width=110),
        "parameters": parameters,
        "a step": _step(run, figures),
        "memory of a process": _memory(run, figures["activations"]),
        "data": _data(groups),
        "sigmas": _sigmas(run.task, config.seed),
        "one group": f"loss {figures['loss']:.4f}, gradient norm {figures['norm']:.4g}, {figures['seconds']:.2f} s",
    }
    return "\n".join(f"== {name}\n{text.rstrip()}\n" for name, text in sections.items() if text)


def _one_group(run: Run, batch: dict[str, Any]) -> dict[str, float]:
    """Forward and backward twice: for FLOPs and time, then for memory."""
    losses = []

    def call() -> None:
        with run.update.accumulate(is_last=True):
            loss, _ = run.module(batch)
            run.update.backward(loss)
        losses.append(float(loss.detach()))

    with FlopCounterMode(display=False) as counter:
        call()
    tokens, flops = run.meter.take()
    norm = run.update.clip()
    run.update.finish(go=False)
    activations = measure_pass(call, run.device)
    run.update.finish(go=False)
    begun = time.perf_counter()
    call()
    seconds = time.perf_counter() - begun
    run.update.finish(go=False)
    counted = flops if run.meter.has_transformer else float(counter.get_total_flops())
    return {
        "loss": losses[0],
        "norm": norm,
        "tokens": tokens,
        "flops": counted,
        "activations": activations,
        "seconds": seconds,
    }


def _parameters(run: Run) -> str:
    rows = [("part", "trained", "frozen")]
    for name, module in run.task.modules().items():
        rows.append((name, *_counts(module.parameters())))
    rows += [(type(module).__name__, *_counts(module.parameters())) for module in run.task.frozen]
    return _table(rows)


def _counts(parameters: Iterable[nn.Parameter]) -> tuple[str, str]:
    numbers = {True: 0, False: 0}
    for parameter in parameters:
        numbers[parameter.requires_grad] += parameter.numel()
    return f"{numbers[True]:,}", f"{numbers[False]:,}"


def _step(run: Run, figures: dict[str, float]) -> str:
    sampler = run.sampler(0)
    rows = [
        ("processes", f"{sampler.processes} on {run.device.type}"),
        ("samples", str(run.config.batch)),
        ("groups", f"{sampler.groups_per_step} of {run.config.group}, {sampler.accumulation} on each process"),
    ]
    if run.meter.has_transformer:
        rows.append(("tokens", f"{figures['tokens'] * sampler.groups_per_step:,} if all groups are as the first"))
    what = "transformer, forward and backward" if run.meter.has_transformer else "whole model, forward and backward"
    rows.append(("FLOPs", f"{figures['flops'] * sampler.groups_per_step:.3g} ({what})"))
    return _table(rows)


def _memory(run: Run, activations: float) -> str:
    shards = run.accelerator.num_processes if run.is_sharded else 1
    memory = forecast(
        run.model,
        run.task.frozen,
        has_ema=run.config.optim.ema_decay > 0,
        activations=int(activations),
        shards=shards,
    )
    rows = [(f.name, f"{getattr(memory, f.name) / 2**20:,.1f} MiB") for f in dataclasses.fields(memory)]
    return _table([*rows, ("total", f"{memory.total / 2**20:,.1f} MiB")])


def _data(groups: Any) -> str:
    """The buckets of a dataset that has some."""
    rows = [("task", "bucket", "samples")]
    for task, buckets in getattr(groups, "buckets", {}).items():
        rows += [(task, " ".join(map(str, bucket)), str(len(numbers))) for bucket, numbers in buckets.items()]
    return _table(rows) if len(rows) > 1 else ""


def _sigmas(task: Any, seed: int) -> str:
    """Where on the path from clean to noise the samples lie."""
    if not hasattr(task, "timesteps"):
        return ""
    generator = torch.Generator().manual_seed(seed)
    sigmas = torch.stack([task.timesteps.draw(generator) for _ in range(DRAWS)])
    counts = torch.histc(sigmas.float().cpu(), bins=BARS, min=0.0, max=1.0)
    bars = (counts / counts.max() * WIDTH).round().int().tolist()
    rows = [
        (f"{k / BARS:.2f}-{(k + 1) / BARS:.2f}", f"{100 * float(counts[k]) / DRAWS:5.1f} %", "#" * bars[k])
        for k in range(BARS)
    ]
    return _table(rows)


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows)


def _plain(value: Any) -> Any:
    """Values that YAML writes without tags."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
