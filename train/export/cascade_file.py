"""A run as checkpoint files: a whole cascade, or adapters as a ComfyUI LoRA and the model they belong on.

Every file has Wan's tensor names and the header that says what is inside, so that `Load GVR Cascade` and ComfyUI's own
diffusion-model loader both take it. Weights are the averaged ones where the run keeps an average.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from gvr_core.checkpoints import Header, Inference, header_metadata, load_part, read_header, save_checkpoint
from gvr_core.schedules import DetailTable
from gvr_core.tensor_files import write_tensors

from ..checkpoint import latest_checkpoint, load_weights, read_run
from ..config import build
from ..fit_config import FitConfig
from ..tasks import Task, make_task
from ..tasks.cascade_sources import checkpoint_path
from ..timesteps import read_table
from .inference import inference_of

log = logging.getLogger("gvr")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DETAIL_TABLE = "detail_table.json"
"""In the folder of a run: what `profile-timesteps` has measured of it."""


def export(
    run: Path,
    out: Path,
    *,
    dtype: str = "bfloat16",
    ema: bool | None = None,
    include: list[Path] | None = None,
    inference: Path | None = None,
) -> Header:
    """Write the newest checkpoint of a run as a safetensors file; adapters are merged into the weights below them.

    Args:
        run: output directory of `fit`.
        out: file to write.
        dtype: name in `DTYPES`.
        ema: the averaged weights, or the last ones; None for the average where the run has one.
        include: checkpoints whose other parts go into the same file.
        inference: YAML file with fields of `Inference` that differ from what follows from the config.

    Returns:
        The header that was written.

    Raises:
        ValueError: no checkpoint, unknown type, parts twice, or different latent spaces.
    """
    config, task = make_run(run)
    about = load_run(run, config, task, ema=ema)
    if config.trainable == "lora":
        from ..lora import merge_adapters

        merge_adapters(task.model)
    return write_checkpoint(
        out,
        task,
        config,
        training=about,
        statistics=statistics_of(run, task),
        dtype=dtype,
        include=include,
        inference=inference_of(config, inference) if config.task == "cascade" else None,
    )


def make_run(run: Path) -> tuple[FitConfig, Task]:
    """Config and task of a run, with the weights that it began with.

    Raises:
        ValueError: no checkpoint.
    """
    newest = _newest(run)
    # Float32, so that adapters are merged into the base model as it was published.
    config: FitConfig = dataclasses.replace(build(FitConfig, read_run(newest)["config"]), precision="float32")
    return config, make_task(config)


def load_run(run: Path, config: FitConfig, task: Task, *, ema: bool | None) -> dict[str, Any]:
    """Give a task the weights of the run's newest checkpoint; what to tell of them in a header.

    Raises:
        ValueError: no checkpoint, or no average where one is asked for.
    """
    newest = _newest(run)
    ema = config.optim.ema_decay > 0 if ema is None else ema
    load_weights(newest, task.model, ema=ema)
    task.model.eval().requires_grad_(False)
    about = {"steps": read_run(newest)["step"], "seed": config.seed, "batch": config.batch, "ema": ema}
    return about | ({"init_from": Path(config.init_from).name} if config.init_from else {})


def _newest(run: Path) -> Path:
    newest = latest_checkpoint(run)
    if newest is None:
        raise ValueError(f"no finished checkpoint in {run}: train first")
    return newest


def statistics_of(run: Path, task: Task) -> dict[str, Any]:
    """What the task has measured, and the detail table that was measured of this run."""
    measured = run / DETAIL_TABLE
    table = {"detail_table": read_table(measured).to_dict()} if measured.is_file() else {}
    return {**task.statistics(), **table}


def write_checkpoint(
    out: Path,
    task: Task,
    config: FitConfig,
    *,
    training: dict[str, Any],
    statistics: dict[str, Any],
    dtype: str,
    include: list[Path] | None = None,
    inference: Inference | None = None,
) -> Header:
    """Write the parts of a task, and those of other files, with their header.

    A part that the task has trained is its own: an included file's is left out.
    """
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}, expected one of {', '.join(DTYPES)}")
    modules: dict[str, nn.Module] = dict(task.modules())
    parts = task.part_configs()
    about = dict.fromkeys(parts, training)
    trained, space = set(parts), next(iter(parts.values()))["space"]
    for path in map(checkpoint_path, include or []):
        header = read_header(path)
        if header.space != space:
            raise ValueError(
                f"{path} is of latent space {header.space}, the run of {space}: they cannot be one cascade"
            )
        for part, values in header.parts.items():
            if part in trained:
                continue
            if part in modules:
                raise ValueError(f"{part} is in {path} and already there: include it once")
            modules[part], parts[part] = load_part(path, part), values
        statistics = {**header.statistics, **statistics}
        about = {**header.training, **about}
    frozen = config.objective.get("upsampler", "")
    if "dit" in parts and "upsampler" not in parts and frozen:
        log.warning("this cascade was trained behind the upsampler in %s: add --include %s", frozen, frozen)
    header = Header(space=space, parts=parts, inference=inference, statistics=statistics, training=about)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(out, modules, header, dtype=DTYPES[dtype])
    return header


def attach_detail_table(path: Path, table: DetailTable) -> None:
    """Put a detail table into the header of a checkpoint; its tensors stay as they are.

    Raises:
        ValueError: no checkpoint of this project.
    """
    header = read_header(path)
    statistics = {**header.statistics, "detail_table": table.to_dict()}
    write_tensors(path, load_file(path), header_metadata(dataclasses.replace(header, statistics=statistics)))
