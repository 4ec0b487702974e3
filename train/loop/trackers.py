"""Where a run's figures go: `log.jsonl` always, TensorBoard and Weights & Biases where they are asked for and there."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ..fit_config import FitConfig

log = logging.getLogger("gvr")


class Tracker(Protocol):
    """Takes the figures of steps."""

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures after `step` finished steps; those that are not finite are kept as null or left out."""

    def close(self) -> None:
        """Write what is still in memory."""


class LogFile:
    """A JSON object for each call, a line each, in `log.jsonl`; a run that goes on appends."""

    def __init__(self, output: Path) -> None:
        self._file = (output / "log.jsonl").open("a", encoding="utf-8")

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        entry = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        self._file.write(json.dumps({"step": step, **entry}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoard:
    """Event files in `tensorboard/`; a run that goes on hides what an earlier one wrote for later steps."""

    def __init__(self, output: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(output / "tensorboard"), purge_step=first_step + 1)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of the project `gvr`; its number is kept in the output, so that a run that goes on stays one."""

    def __init__(self, output: Path, config: FitConfig) -> None:
        import wandb

        file = output / "wandb-run.txt"
        number = file.read_text(encoding="utf-8").strip() if file.is_file() else None
        self._run: Any = wandb.init(
            project="gvr",
            name=output.name,
            dir=str(output),
            config=dataclasses.asdict(config),
            id=number,
            resume="allow",
        )
        file.write_text(self._run.id, encoding="utf-8")

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log({name: value for name, value in figures.items() if math.isfinite(value)}, step=step)

    def close(self) -> None:
        self._run.finish()


def make_trackers(config: FitConfig, output: Path, first_step: int) -> list[Tracker]:
    """The trackers of a run. One that is not installed is left out and said in the log.

    Raises:
        ValueError: a name that is no tracker.
    """
    trackers: list[Tracker] = [LogFile(output)]
    for name in config.trackers:
        if name not in ("tensorboard", "wandb"):
            raise ValueError(f"trackers has {name!r}, expected tensorboard or wandb: correct the config")
        if importlib.util.find_spec(name) is None:
            log.warning("%s is not installed, figures go to log.jsonl alone: pip install %s", name, name)
        elif name == "tensorboard":
            trackers.append(TensorBoard(output, first_step))
        else:
            trackers.append(WeightsAndBiases(output, config))
    return trackers
