"""LPIPS, MUSIQ, CLIP-IQA, NIQE and PIQE through pyiqa, where it and the weights are; nothing is ever downloaded.

pyiqa (PolyForm Noncommercial licence) is optional: without it these metrics are `Missing`, with the reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from .metric import Figure, Missing, Sample, mismatch, spread

INSTALL = "pip install pyiqa (its licence excludes commercial use)"
_PATH = "pretrained_model_path"
_PYIQA_WEIGHTS = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights"


@dataclass(frozen=True)
class WeightFile:
    """A file that pyiqa would download if it were not there.

    Attributes:
        path: below PyTorch's hub folder (`$TORCH_HOME/hub`).
        source: where to get it.
        sha256: where pyiqa compares it and would download the file again; else "".
        argument: the name under which pyiqa takes its path; "" where it knows only this place.
    """

    path: str
    source: str
    sha256: str = ""
    argument: str = ""

    def problem(self) -> str:
        """Why it cannot be used; "" if it can."""
        file = Path(torch.hub.get_dir()) / self.path
        if not file.is_file():
            return f"weights not found: put {file.name} into {file.parent} (from {self.source})"
        if self.sha256 and hashlib.sha256(file.read_bytes()).hexdigest() != self.sha256:
            return f"weights are damaged: {file} has another checksum than the file from {self.source}"
        return ""


WEIGHTS: dict[str, tuple[WeightFile, ...]] = {
    "piqe": (),
    "niqe": (WeightFile("pyiqa/niqe_modelparameters.mat", _PYIQA_WEIGHTS, argument=_PATH),),
    "musiq": (WeightFile("pyiqa/musiq_koniq_ckpt-e95806b9.pth", _PYIQA_WEIGHTS, argument=_PATH),),
    "lpips": (
        WeightFile("pyiqa/LPIPS_v0.1_alex-df73285e.pth", _PYIQA_WEIGHTS, argument=_PATH),
        WeightFile("checkpoints/alexnet-owt-7be5be79.pth", "https://download.pytorch.org/models"),
    ),
    "clipiqa": (
        WeightFile(
            "clip/RN50.pt",
            "https://github.com/openai/CLIP",
            "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
        ),
    ),
}
"""pyiqa's name of a metric -> the files it needs."""

COMPARES = {"lpips"}
"""Those that need the original."""


class PyiqaMetric:
    """A metric of pyiqa as the `measure` of a metric: its mean over frames spread evenly. Loaded with the first clip.

    Args:
        name: a key of `WEIGHTS`.
        frames: how many frames of a clip are judged at most, 0 for all.
    """

    def __init__(self, name: str, *, frames: int) -> None:
        self.name, self.frames = name, frames
        self._score: Callable[..., Tensor] | Missing | None = None

    def __call__(self, sample: Sample) -> Figure:
        if self._score is None:
            self._score = load_pyiqa(self.name, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        problem = self._score if isinstance(self._score, Missing) else None
        if self.name in COMPARES:
            problem = problem or mismatch(sample)
        if problem:
            return problem
        scores = []
        for index in spread(sample.clip, self.frames):
            pictures = [_picture(sample.clip[index])]
            if self.name in COMPARES:
                pictures.append(_picture(sample.original[index]))
            try:
                with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
                    scores.append(float(self._score(*pictures)))
            except (RuntimeError, ValueError, IndexError, AssertionError) as error:
                height, width = sample.clip.shape[1:3]
                return Missing(f"pyiqa cannot judge frames of {width}x{height}: {_first_line(error)}")
        return float(np.mean(scores))


def load_pyiqa(name: str, device: torch.device) -> Callable[..., Tensor] | Missing:
    """A metric of pyiqa, pictures `1 3 h w` in [0, 1] -> score; or why there is none.

    Args:
        name: a key of `WEIGHTS`.
        device: where it computes.
    """
    if importlib.util.find_spec("pyiqa") is None:
        return Missing(f"pyiqa is not installed: {INSTALL}")
    problem = next((p for p in (weights.problem() for weights in WEIGHTS[name]) if p), "")
    if problem:
        return Missing(problem)
    folder = Path(torch.hub.get_dir())
    given = {weights.argument: str(folder / weights.path) for weights in WEIGHTS[name] if weights.argument}
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when it is imported; the files above are all it needs
    try:
        with contextlib.redirect_stdout(sys.stderr):
            import pyiqa

            return pyiqa.create_metric(name, device=device, **given)
    # A torchvision that does not fit the torch is a RuntimeError, a missing `clip` an ImportError.
    except (ImportError, RuntimeError, OSError, KeyError, ValueError) as error:
        return Missing(f"pyiqa is installed but does not load {name}: {_first_line(error)}")


def _picture(frame: np.ndarray) -> Tensor:
    """`h w 3`, uint8 or floating point in [0, 1] -> `1 3 h w` float32 in [0, 1]."""
    picture = rearrange(torch.from_numpy(np.ascontiguousarray(frame)), "h w c -> 1 c h w")
    return picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
