"""The settings of a cascade that follow from how it was trained: the defaults of every front end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gvr_core.checkpoints import Inference

from ..config import build
from ..fit_config import FitConfig
from ..tasks.cascade_config import CascadeObjective

PAPERS: dict[str, Any] = {"num_steps": 50, "solver": "pndm", "start": 1.0}
"""S 2.1, U 4.1.1: 50 steps from pure noise; PNDM is U's."""


def inference_of(config: FitConfig, file: Path | None = None) -> Inference:
    """Settings of the cascade that a run trains, with what a YAML file says in their place.

    The lowest noise augmentation seen in training is the default: faithful to the input (U A.5.8).

    Args:
        config: of a run with task "cascade".
        file: mapping of fields of `Inference`; others keep what follows from the config.

    Raises:
        ValueError: the file cannot be read, has an unknown field, or nobody says at which factor the cascade enlarges.
    """
    objective: CascadeObjective = build(CascadeObjective, config.objective, "objective.")
    tasks = {name for name, weight in config.data.tasks.items() if weight > 0}
    values = {
        **PAPERS,
        "shift": objective.timesteps.shift,
        "noise_aug": objective.noise_aug[0],
        "noise_aug_range": list(objective.noise_aug),
        "scales": _scales(config),
        "references": bool(tasks & {"multi_id", "edit"}),
        **_read(file),
    }
    if not values["scales"]:
        raise ValueError(
            f"the pairs in {config.data.root} are not there to tell their factor: give --inference FILE.yaml with "
            "scales: [2.0]"
        )
    return build(Inference, values, "inference.")


def _scales(config: FitConfig) -> list[float]:
    """How many times larger than the input the samples are."""
    if config.data.source != "pairs":
        return [2.0]  # the tasks halve
    from ..pairs import PairShards

    if not Path(config.data.root).is_dir():
        return []
    table = PairShards(config.data.root).table
    factors = zip(table["height"].to_pylist(), table["low_height"].to_pylist(), strict=True)
    return sorted({round(high / low, 2) for high, low in factors})


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    if not file.is_file():
        raise ValueError(f"no such file of inference settings: {file}")
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is no YAML file: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{file} holds {type(values).__name__}, expected fields such as num_steps: 50")
    return values
