"""Every metric by name, and groups of names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gvr_core.metrics import laplacian_energy, psnr, ssim, temporal_flicker

from .colours import colour_drift, colour_error
from .external import External
from .likeness import Likeness
from .metric import Column, Figure, Metric, Sample, against_original, share_of_original
from .pyiqa_metrics import PyiqaMetric
from .seams import jump, seam

STANDARD = ("psnr", "ssim", "energy", "flicker")
OWN = (*STANDARD, "raw_energy", "raw_flicker", "seam:8", "seam:16", "seam:128/16", "jump:4+1", "colour", "drift")
PYIQA = ("piqe", "niqe", "musiq", "clipiqa", "lpips")
LIKENESS = ("clip_i", "dino_i")
GROUPS = {"standard": STANDARD, "own": OWN, "all": (*OWN, *PYIQA, *LIKENESS, "dover", "vbench")}
"""Name on the command line -> metrics. The names of external programs stand for all their columns."""

EXTERNALS = (
    External(
        name="dover",
        title="DOVER",
        figures={
            "technical": "DOVER: distortions seen by people, 0 to 100 (Wu et al., ICCV 2023)",
            "aesthetic": "DOVER: composition and appeal, 0 to 100",
            "overall": "DOVER: both, fused, 0 to 100",
        },
        variable="GVR_DOVER",
    ),
    External(
        name="vbench",
        title="VBench",
        figures={
            "background_consistency": "VBench (Huang et al., CVPR 2024), figures of single videos; the five of S 5.1.3",
            "subject_consistency": "VBench",
            "aesthetic_quality": "VBench",
            "imaging_quality": "VBench, 0 to 100 for a single video",
            "motion_smoothness": "VBench",
        },
        variable="GVR_VBENCH",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the metrics need from the user.

    Attributes:
        clip: folder of a CLIP model, None without.
        dino: folder of a DINO model, None without.
        picture_frames: frames of a clip that metrics of pictures judge, evenly spread; 0 for all. S 5.1.1 judges 10.
    """

    clip: Path | None = None
    dino: Path | None = None
    picture_frames: int = 10

    def __post_init__(self) -> None:
        if self.picture_frames < 0:
            raise ValueError(f"picture frames are {self.picture_frames}, expected at least 1, or 0 for all of a clip")


def _plain() -> dict[str, tuple[Column, Callable[[Sample], Figure]]]:
    """Metrics without parameters or tools."""
    lines: list[tuple[str, str, str, int, str, Callable[[Sample], Figure]]] = [
        ("psnr", "PSNR dB", "higher", 2, "peak signal-to-noise ratio over the whole clip", against_original(psnr)),
        ("ssim", "SSIM", "higher", 3, "structural similarity (Wang et al. 2004)", against_original(ssim)),
        (
            "energy",
            "Laplacian energy",
            "one",
            2,
            "sharpness: mean square of the Laplacian of luma, as a share of the original's",
            share_of_original(laplacian_energy),
        ),
        (
            "flicker",
            "flicker",
            "one",
            2,
            "mean absolute second difference of luma over time, as a share of the original's",
            share_of_original(temporal_flicker),
        ),
        (
            "raw_energy",
            "sharpness x 1000",
            "higher",
            2,
            "Laplacian energy itself, times 1000; compares results of one clip, and counts noise as detail",
            lambda sample: 1000 * laplacian_energy(sample.clip),
        ),
        (
            "raw_flicker",
            "flicker x 1000",
            "lower",
            2,
            "flicker itself, times 1000; compares results of one clip, for motion counts too",
            lambda sample: 1000 * temporal_flicker(sample.clip),
        ),
        ("colour", "colour error", "lower", 2, "Delta E*ab of the mean colours, mean over frames (ours)", colour_error),
        ("drift", "colour drift", "lower", 2, "Delta E*ab that grows from first to last frame (ours)", colour_drift),
    ]
    return {
        name: (Column(name=name, title=title, better=better, digits=digits, about=about), measure)
        for name, title, better, digits, about, measure in lines
    }


_LEARNED = {
    "piqe": ("PIQE", "lower", 1, "distorted share of active 16 x 16 blocks, 0 to 100 (Venkatanath et al. 2015)"),
    "niqe": ("NIQE", "lower", 2, "distance from statistics of natural pictures (Mittal et al. 2013)"),
    "musiq": ("MUSIQ", "higher", 1, "learned quality, KonIQ-10k, 0 to 100 (Ke et al., ICCV 2021)"),
    "clipiqa": ("CLIP-IQA", "higher", 3, "CLIP's leaning to 'good picture', 0 to 1 (Wang et al., AAAI 2023)"),
    "lpips": ("LPIPS", "lower", 3, "learned distance to the original, AlexNet, 0 to 1 (Zhang et al., CVPR 2018)"),
    "clip_i": ("CLIP-I", "higher", 3, "mean cosine similarity of frames and ID pictures in CLIP"),
    "dino_i": ("DINO-I", "higher", 3, "mean cosine similarity of frames and ID pictures in DINO"),
}


def resolve_metrics(wanted: Sequence[str], tools: Tools) -> tuple[list[Metric], list[External]]:
    """Metrics and external programs for names and groups, each once, in the order given.

    `seam:P`, `seam:WxH` or `seam:WxH/BASE` (pixels of a cell) and `jump:EVERY+FIRST` (frames) have numbers in them.

    Raises:
        ValueError: an unknown name or numbers out of range.
    """
    names = dict.fromkeys(name for entry in wanted for name in GROUPS.get(entry, (entry,)))
    externals = {external.name: external for external in EXTERNALS}
    metrics = [_metric(name, tools) for name in names if name not in externals]
    return metrics, [externals[name] for name in names if name in externals]


def with_command(external: External, command: str | None) -> External:
    """The same with a command, if there is one."""
    return replace(external, command=command) if command else external


def _metric(name: str, tools: Tools) -> Metric:
    plain = _plain()
    if name in plain:
        return Metric(*plain[name])
    if name in _LEARNED:
        title, better, digits, about = _LEARNED[name]
        column = Column(name=name, title=title, better=better, digits=digits, about=about)
        if name in PYIQA:
            return Metric(column, PyiqaMetric(name, frames=tools.picture_frames))
        kind = name.removesuffix("_i")
        return Metric(column, Likeness(kind, getattr(tools, kind), frames=tools.picture_frames))
    if found := re.fullmatch(r"seam:(\d+)(?:x(\d+))?(?:/(\d+))?", name):
        width = int(found[1])
        return _seam(name, width, int(found[2] or width), int(found[3] or 1))
    if found := re.fullmatch(r"jump:(\d+)\+(\d+)", name):
        return _jump(name, int(found[1]), int(found[2]))
    known = [*GROUPS, *plain, *_LEARNED, *(external.name for external in EXTERNALS)]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"expected some of {', '.join(known)}"
    raise ValueError(f"unknown metric {name!r}: {hint} (or seam:8, seam:192x144/16, jump:4+1)")


def _seam(name: str, width: int, height: int, base: int) -> Metric:
    if min(width, height) < 4:
        raise ValueError(f"{name} is a grid of {width}x{height} pixels, expected at least 4x4")
    if base < 1 or width % base or height % base or base in (width, height):
        raise ValueError(f"{name} compares with a grid of {base}, expected a smaller one that divides {width}x{height}")
    others = f"at other lines of {base} pixels" if base > 1 else "elsewhere"
    about = f"steps of luma at a grid of {width}x{height} pixels against those {others}; 1 = no grid (ours)"
    column = Column(name=name, title=f"seams {name[5:]} px", better="one", digits=2, about=about)
    return Metric(column, lambda sample: seam(sample.clip, width, height, base))


def _jump(name: str, every: int, first: int) -> Metric:
    if every < 3 or first < 1:
        raise ValueError(f"{name} has borders every {every} frames from {first} on, expected at least 3 and 1")
    about = f"change at frames {first}, {first + every}, ... against the changes before and after; 1 = no jump (ours)"
    column = Column(name=name, title=f"jumps {name[5:]}", better="one", digits=2, about=about)
    return Metric(column, lambda sample: jump(sample.clip, every, first))
