"""The two files of a run with adapters: a LoRA for ComfyUI, and the cascade that it is loaded on.

A LoRA file can change tensors of a model but add none. What the public base model does not have is therefore in the
cascade file, as zeros where training began with nothing, and the LoRA file holds the difference to it (`.diff`, which
ComfyUI adds). So LoRAs of several runs from the same weights and of the same `model` section fit the same cascade file.
A trained upsampler is no part of ComfyUI's MODEL and cannot be in a LoRA: it is in the cascade file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gvr_core.checkpoints import Header, has_header
from gvr_core.tensor_files import write_tensors
from gvr_core.wan_weights import NEW_PARTS as NOT_IN_WAN

from ..lora import adapter_tensors, new_parts, remove_adapters
from ..tasks import Task
from ..tasks.cascade_sources import checkpoint_path
from .cascade_file import DTYPES, load_run, make_run, statistics_of, write_checkpoint
from .inference import inference_of

PREFIX = "diffusion_model."


def export_lora(run: Path, out: Path, *, dtype: str = "bfloat16", ema: bool | None = None) -> int:
    """Write the adapters of a run, and the differences of its new parts, as a LoRA for ComfyUI.

    Args:
        run: output directory of `fit`.
        out: file to write.
        dtype: name in `export.DTYPES`.
        ema: as in `export`.

    Returns:
        The number of tensors.

    Raises:
        ValueError: the run has no adapters, or as `export`.
    """
    config, task = make_run(run)
    _require_lora(config.trainable, run)
    start = {name: value.clone() for name, value in _at_start(task, config.init_from).items()}
    load_run(run, config, task, ema=ema)
    tensors = adapter_tensors(task.model.dit)
    for name, value in new_parts(task.model.dit).items():
        layer, _, kind = name.rpartition(".")
        tensors[f"{layer}.{'diff' if kind == 'weight' else 'diff_b'}"] = value.detach() - start[name]
    stored = {PREFIX + name: tensor.to("cpu", DTYPES[dtype]).contiguous() for name, tensor in tensors.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(out, stored, {"format": "pt"})
    return len(stored)


def export_base(
    run: Path, out: Path, *, dtype: str = "bfloat16", ema: bool | None = None, inference: Path | None = None
) -> Header:
    """Write the cascade that the LoRA of a run is loaded on: its base model, new parts as they began, its upsampler.

    Args, errors: as `export.export`.
    """
    config, task = make_run(run)
    _require_lora(config.trainable, run)
    start = {name: value.clone() for name, value in _at_start(task, config.init_from).items()}
    about = load_run(run, config, task, ema=ema)
    remove_adapters(task.model)
    with torch.no_grad():
        for name, value in new_parts(task.model.dit).items():
            value.copy_(start[name])
    statistics = statistics_of(run, task)
    settings: dict[str, Any] = {"training": about | {"lora": "base"}, "statistics": statistics, "dtype": dtype}
    return write_checkpoint(out, task, config, inference=inference_of(config, inference), **settings)


def _at_start(task: Task, init_from: str) -> dict[str, Tensor]:
    """The new parts before training; zeros where they are not in `init_from`, whatever they were drawn as."""
    is_cascade = has_header(checkpoint_path(init_from))
    return {
        name: torch.zeros_like(value) if not is_cascade and any(part in name for part in NOT_IN_WAN) else value.detach()
        for name, value in new_parts(task.model.dit).items()
    }


def _require_lora(trainable: str, run: Path) -> None:
    if trainable != "lora":
        raise ValueError(f"{run} has trained all weights and has no adapters: export it without --lora and --base")
