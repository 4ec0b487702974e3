"""No-reference picture quality through pyiqa, where it is installed; nothing is ever downloaded."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..evaluation.metric import Missing
from ..evaluation.pyiqa_metrics import load_pyiqa
from .stage import open_stage

log = logging.getLogger("gvr")

MEASURES = ("musiq", "piqe")
"""Those that "auto" tries, the papers' first."""


def resolve_quality(wanted: str, folder: Path) -> str:
    """The measure that "auto" stands for ("musiq", "piqe" or "none"), or `wanted` itself if it works on this machine.

    In a folder that was begun "auto" stands for the measure it was begun with: a clip must not be kept or dropped for
    the day on which it was looked at.

    Args:
        wanted: of the config.
        folder: where the clips go.

    Raises:
        ValueError: the measure does not work here.
    """
    if wanted == "none":
        return "none"
    begun = open_stage(folder, "prepare").settings["filter"]["quality"] if (folder / "plan.json").is_file() else ""
    if wanted != "auto":
        problem = _problem(wanted)
        if problem:
            raise ValueError(f"filter.quality is {wanted}, but {problem}; or choose filter.quality=none")
        return wanted
    if begun == "none":
        log.warning("%s was begun without a measure of picture quality, the other clips are treated the same", folder)
    elif begun:
        problem = _problem(begun)
        if problem:
            raise ValueError(
                f"{folder} was begun with the picture quality {begun}, but {problem}. Mend that and give the same "
                "command again; or delete the folder and begin anew with filter.quality=none"
            )
    return begun or _first_that_works()


def _first_that_works() -> str:
    problems = {}
    for name in MEASURES:
        problems[name] = _problem(name)
        if not problems[name]:
            break
    else:
        log.warning("no picture quality: clips are filtered by light and sharpness alone, because %s", problems[name])
        return "none"
    if name != "musiq":
        log.warning(
            "MUSIQ is not measured (%s) but %s: less is better, the limit is filter.piqe_most; it is not the papers' "
            "filter",
            problems["musiq"],
            name.upper(),
        )
    return name


def load_quality(name: str) -> Callable[[np.ndarray], float] | None:
    """The measure of one frame, `h w 3` uint8 RGB -> 0 to 100, nan for a black one (PIQE); None for "none".

    Raises:
        ValueError: it does not work on this machine.
    """
    if name == "none":
        return None
    metric = _metric(name)
    if isinstance(metric, Missing):
        raise ValueError(f"the clips of this run are measured with {name}, but {metric.reason}")

    def measure(frame: np.ndarray) -> float:
        picture = rearrange(torch.from_numpy(np.ascontiguousarray(frame)), "h w c -> 1 c h w").float() / 255
        with torch.inference_mode():
            return float(metric(picture))

    return measure


def _problem(name: str) -> str:
    """Why a measure does not work here; "" if it does. Only loading it tells: pyiqa may be there and not import."""
    metric = _metric(name)
    return metric.reason if isinstance(metric, Missing) else ""


@functools.lru_cache(maxsize=len(MEASURES))
def _metric(name: str) -> Callable[[Tensor], Tensor] | Missing:
    return load_pyiqa(name, torch.device("cpu"))  # a worker has one thread, and its result must not depend on a GPU
