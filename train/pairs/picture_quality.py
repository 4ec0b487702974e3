"""No-reference picture quality through pyiqa, where it is installed; nothing is ever downloaded."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from einops import rearrange

log = logging.getLogger("gvr")

MUSIQ_FILE = "musiq_koniq_ckpt-e95806b9.pth"
INSTALL = "pip install pyiqa (its licence excludes commercial use)"


def musiq_path() -> Path:
    """Where pyiqa keeps the weights of MUSIQ."""
    return Path(torch.hub.get_dir()) / "pyiqa" / MUSIQ_FILE


def resolve_quality(wanted: str) -> str:
    """The measure that "auto" stands for on this machine ("musiq", "piqe" or "none"), or `wanted` if it is there.

    Raises:
        ValueError: `wanted` is not there.
    """
    installed = importlib.util.find_spec("pyiqa") is not None
    weights = musiq_path().is_file()
    if wanted == "none":
        return "none"
    if wanted != "auto" and not installed:
        raise ValueError(f"filter.quality is {wanted}, but pyiqa is not installed: {INSTALL}, or filter.quality=none")
    if wanted == "musiq" and not weights:
        raise ValueError(
            f"filter.quality is musiq, but its weights are not at {musiq_path()}: put {MUSIQ_FILE} there (from "
            "huggingface.co/chaofengc/IQA-PyTorch-Weights), or filter.quality=piqe"
        )
    if wanted != "auto":
        return wanted
    if not installed:
        log.warning("pyiqa is not installed: clips are filtered by light and sharpness alone. For MUSIQ: %s", INSTALL)
        return "none"
    if not weights:
        log.warning(
            "the weights of MUSIQ are not at %s: PIQE is measured instead, less is better and the limit is "
            "filter.piqe_most; it is not the papers' filter",
            musiq_path(),
        )
        return "piqe"
    return "musiq"


def load_quality(name: str) -> Callable[[np.ndarray], float] | None:
    """The measure of one frame, `h w 3` uint8 RGB -> 0 to 100; None for "none"."""
    if name == "none":
        return None
    # pyiqa reaches for its cache and for model hubs on import and on creation: only where its result is wanted.
    import pyiqa

    weights = {"pretrained_model_path": str(musiq_path())} if name == "musiq" else {}
    metric = pyiqa.create_metric(name, device=torch.device("cpu"), **weights)

    def measure(frame: np.ndarray) -> float:
        picture = rearrange(torch.from_numpy(np.ascontiguousarray(frame)), "h w c -> 1 c h w").float() / 255
        with torch.inference_mode():
            return float(metric(picture))

    return measure
