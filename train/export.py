"""Run directory -> checkpoint file for inference: averaged weights, config and measured statistics in the header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from gvr_core.checkpoints import Header, Inference, load_part, read_header, save_checkpoint

from .checkpoint import latest_checkpoint, load_checkpoint, read_config
from .config import FitConfig, build
from .data import ClipDataset
from .ema import Ema
from .tasks import make_task

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def export(
    run: Path,
    out: Path,
    *,
    dtype: str,
    ema: bool = True,
    include: list[Path] | None = None,
    inference: dict[str, Any] | None = None,
) -> Header:
    """Write the newest checkpoint of a run as a safetensors file.

    Args:
        run: output directory of `fit`.
        out: file to write.
        dtype: name in `DTYPES`.
        ema: the averaged weights, else the last ones.
        include: checkpoints whose other parts go into the same file.
        inference: values of `Inference`, needed when the result holds a DiT.

    Returns:
        The header that was written.

    Raises:
        ValueError: no checkpoint, unknown type, parts twice, different latent spaces, or no settings for a DiT.
    """
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}, expected one of {', '.join(DTYPES)}")
    newest = latest_checkpoint(run)
    if newest is None:
        raise ValueError(f"no finished checkpoint in {run}: train first")
    config: FitConfig = build(FitConfig, read_config(newest))
    task = make_task(config.task, config.model, config.objective)
    state = load_checkpoint(newest, config)
    task.model.load_state_dict(state["model"])
    if ema:
        average = Ema(task.model, config.optim.ema_decay)
        average.load_state_dict(state["ema"])
        average.copy_to(task.model)
    task.model.eval().requires_grad_(False)

    modules: dict[str, nn.Module] = {task.part: task.model}
    parts = {task.part: task.part_config()}
    statistics = task.statistics(ClipDataset(config.data, config.seed))
    training = {task.part: {"steps": state["step"], "seed": config.seed, "batch": config.batch, "ema": ema}}
    space = parts[task.part]["space"]
    for path in include or []:
        header = read_header(path)
        if header.space != space:
            raise ValueError(
                f"{path} is of latent space {header.space}, the run of {space}: they cannot be one cascade"
            )
        for part, values in header.parts.items():
            if part in modules:
                raise ValueError(f"{part} is in {path} and already there: include it once")
            modules[part], parts[part] = load_part(path, part), values
        statistics = {**header.statistics, **statistics}
        training = {**header.training, **training}
    if "dit" in parts and inference is None:
        raise ValueError("a cascade needs its inference settings: add --inference FILE.yaml")
    settings = build(Inference, inference, "inference.") if inference else None
    header = Header(space=space, parts=parts, inference=settings, statistics=statistics, training=training)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(out, modules, header, dtype=DTYPES[dtype])
    return header
