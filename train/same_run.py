"""Whether a checkpoint belongs to the run that is to go on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from .fit_config import FitConfig

FREE = (
    "output",
    "steps",
    "save_every",
    "keep",
    "init_from",
    "gradient_checkpointing",
    "workers",
    "trackers",
    "validation",
    "data.root",
    "data.cache",
)
"""What may be another when a run goes on: none of it decides what a sample is or how a step changes the weights, except
`steps`, which the learning rate's end hangs on. So may the number of processes. With adapters `init_from` may not: the
weights below them are not in the checkpoint."""


def check_same_run(checkpoint: Path, trained: dict[str, Any], config: FitConfig) -> None:
    """Raises ValueError with the first key in which `config` differs from the plain config of a checkpoint."""
    before = _flat(trained)
    now = _flat(json.loads(json.dumps(dataclasses.asdict(config))))
    free = tuple(key for key in FREE if key != "init_from" or config.trainable != "lora")
    for key in [*now, *(key for key in before if key not in now)]:
        if any(key == name or key.startswith(name + ".") for name in free):
            continue
        if before.get(key) != now.get(key):
            raise ValueError(
                f"{checkpoint} was trained with {key}={_shown(before, key)}, now it is {_shown(now, key)}: a run that "
                f"goes on may change {', '.join(free)} only; set it back, or choose another output"
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        key = prefix + name
        flat.update(_flat(value, key + ".") if isinstance(value, dict) else {key: value})
    return flat


def _shown(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "nothing"
