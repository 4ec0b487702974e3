"""Checkpoints of a run: `step-00001000/` with `state.pt` and `config.json`, written beside and renamed, two kept."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from .config import FitConfig

KEEP = 2


def checkpoints(output: Path) -> list[Path]:
    """Finished checkpoints of a run, oldest first."""
    return sorted(p for p in output.glob("step-*") if (p / "state.pt").is_file() and p.suffix != ".partial")


def latest_checkpoint(output: Path) -> Path | None:
    """The newest finished checkpoint, or None."""
    found = checkpoints(output)
    return found[-1] if found else None


def save_checkpoint(output: Path, state: dict[str, Any], config: FitConfig) -> Path:
    """Write the state of a run after `state["step"]` steps; older checkpoints beyond the newest two are removed."""
    target = output / f"step-{state['step']:08d}"
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    torch.save(state, partial / "state.pt")
    (partial / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1), encoding="utf-8")
    partial.replace(target)
    for old in checkpoints(output)[:-KEEP]:
        shutil.rmtree(old)
    return target


def read_config(checkpoint: Path) -> dict[str, Any]:
    """The plain configuration a checkpoint was trained with."""
    return json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))


def load_checkpoint(checkpoint: Path, config: FitConfig) -> dict[str, Any]:
    """The state of a run.

    Raises:
        ValueError: model or task differ from those of `config`: it is another run.
    """
    trained = read_config(checkpoint)
    for key in ("task", "model", "batch", "seed"):
        if trained[key] != json.loads(json.dumps(dataclasses.asdict(config)[key])):
            raise ValueError(f"{checkpoint}: was trained with another {key} ({trained[key]}): choose another output")
    return torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)
