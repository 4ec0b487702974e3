"""Checkpoints of a run: `step-00001000/`, written beside and renamed when whole, the newest few kept.

The tensors are in the form of torch.distributed.checkpoint: every process writes its part, and a checkpoint of any
number of processes, sharded or not, can be read by any other number. `run.json` beside them holds the step, what was
skipped and the config.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from .fit_config import FitConfig

RUN = "run.json"


def checkpoints(output: Path) -> list[Path]:
    """Finished checkpoints of a run, oldest first."""
    return sorted(p for p in output.glob("step-*") if (p / RUN).is_file() and p.suffix != ".partial")


def latest_checkpoint(output: Path) -> Path | None:
    """The newest finished checkpoint, or None."""
    found = checkpoints(output)
    return found[-1] if found else None


def save_checkpoint(
    output: Path,
    tensors: dict[str, Tensor],
    config: FitConfig,
    *,
    step: int,
    skipped: int,
    is_main: bool = True,
    barrier: Callable[[], None] = lambda: None,
    save_more: Callable[[Path], None] = lambda _: None,
) -> Path:
    """Write the state of a run after `step` steps and remove the oldest checkpoints beyond `config.keep`.

    Called by all processes of a run; the folder gets its name after all of them have written.

    Args:
        output: folder of the run, the same for all processes.
        tensors: by name.
        config: of the run.
        step: finished steps.
        skipped: how many of them changed nothing.
        is_main: True on the one process that makes and renames folders.
        barrier: waits for all processes.
        save_more: writes what is not among the tensors into the folder that it is given.
    """
    target = output / f"step-{step:08d}"
    partial = target.with_suffix(".partial")
    if is_main:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    barrier()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process is no mistake
        dcp.save(tensors, checkpoint_id=partial, no_dist=not _is_distributed())
    save_more(partial)
    barrier()
    if is_main:
        about = {"step": step, "skipped": skipped, "config": dataclasses.asdict(config)}
        (partial / RUN).write_text(json.dumps(about, indent=1), encoding="utf-8")
        _remove(target)  # what an interrupted removal has left of one
        partial.replace(target)
        for old in checkpoints(output)[: -config.keep]:
            _remove(old)
    barrier()
    return target


def read_run(checkpoint: Path) -> dict[str, Any]:
    """`step`, `skipped` and the plain `config` of a checkpoint."""
    return json.loads((checkpoint / RUN).read_text(encoding="utf-8"))


def read_config(checkpoint: Path) -> dict[str, Any]:
    """The plain configuration a checkpoint was trained with."""
    return read_run(checkpoint)["config"]


def tensor_shapes(checkpoint: Path) -> dict[str, torch.Size]:
    """Names and shapes of the tensors in a checkpoint."""
    metadata = dcp.FileSystemReader(checkpoint).read_metadata()
    return {n: t.size for n, t in metadata.state_dict_metadata.items() if isinstance(t, TensorStorageMetadata)}


def load_tensors(checkpoint: Path, tensors: dict[str, Tensor], *, alone: bool = False) -> None:
    """Overwrite `tensors` with those of the same names in a checkpoint.

    Args:
        checkpoint: folder.
        tensors: what is read, and where to.
        alone: one process reads, whether or not there are others; without it all call this together.

    Raises:
        ValueError: a tensor is missing or has another shape: the model is another one.
    """
    shapes = tensor_shapes(checkpoint)
    for name, tensor in tensors.items():
        if name not in shapes:
            raise ValueError(f"{checkpoint} has no {name}: it is of another model, use the config it was trained with")
        if shapes[name] != tensor.shape:
            raise ValueError(
                f"{checkpoint} has {name} of shape {tuple(shapes[name])}, the model needs {tuple(tensor.shape)}: it "
                "is of another model, use the config it was trained with"
            )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        dcp.load(tensors, checkpoint_id=checkpoint, no_dist=alone or not _is_distributed())


@torch.no_grad()
def load_weights(checkpoint: Path, model: nn.Module, *, ema: bool) -> None:
    """Overwrite the weights of a whole (not sharded) model with those of a checkpoint, in one process.

    Args:
        checkpoint: folder `step-...` of a run.
        model: `task.model` of the run's config.
        ema: the averaged weights where there are any: those of the trained parameters.

    Raises:
        ValueError: another model, or no average in the checkpoint.
    """
    load_tensors(checkpoint, {f"model.{name}": tensor for name, tensor in model.state_dict().items()}, alone=True)
    if not ema:
        return
    averaged = {name.removeprefix("ema.") for name in tensor_shapes(checkpoint) if name.startswith("ema.")}
    if not averaged:
        raise ValueError(f"{checkpoint} has no averaged weights, optim.ema_decay was 0: take the last weights instead")
    parameters = {name: p for name, p in model.named_parameters() if name in averaged}
    weights = {f"ema.{name}": torch.empty_like(p, dtype=torch.float32) for name, p in parameters.items()}
    load_tensors(checkpoint, weights, alone=True)
    for name, parameter in parameters.items():
        parameter.copy_(weights[f"ema.{name}"])


def _remove(checkpoint: Path) -> None:
    """First what makes it count as finished."""
    (checkpoint / RUN).unlink(missing_ok=True)
    shutil.rmtree(checkpoint, ignore_errors=True)


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
