"""Time against frames and against resolution: estimated everywhere, measured where that fits."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from .benchmark import Benchmark
from .estimate import FORMS, Form, attention_seconds, model_seconds, needed_shares
from .findings import Findings
from .sizes import Size, whole_case

FRAMES = (5, 17, 37, 57, 77, 117, 153)
HEIGHTS = (360, 480, 720, 1080, 1440, 2160)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A form at a size.

    Attributes:
        size: model and video.
        form: of attention.
        estimated_s: seconds from the calibration, None without one.
        measured_s: seconds as run here, None where it was not.
    """

    size: Size
    form: Form
    estimated_s: float | None
    measured_s: float | None


def frame_sizes(size: Size) -> list[Size]:
    """`size` with other numbers of frames, ascending."""
    return [replace(size, frames=frames) for frames in sorted({*FRAMES, size.frames})]


def height_sizes(size: Size) -> list[Size]:
    """`size` with other heights and the same aspect ratio, ascending."""
    return [
        replace(size, height=height, width=max(2, 2 * round(height * size.width / size.height / 2)))
        for height in sorted({*HEIGHTS, size.height})
    ]


def sweep(benchmark: Benchmark, findings: Findings, sizes: list[Size], budget: float) -> list[Point]:
    """A point for every size and form, of the model, or of the attention if nothing else was benchmarked.

    Args:
        benchmark: that made the findings.
        findings: for the estimates.
        sizes: where, ascending.
        budget: seconds for measurements; what would take too much of what is left is estimated only.
    """
    end = time.perf_counter() + budget
    name = "attention" if benchmark.only_attention else "model"
    seconds = attention_seconds if benchmark.only_attention else model_seconds
    calibration = findings.calibration
    points = []
    for size in sizes:
        for form in FORMS:
            case = whole_case(size, name, form)
            needed = {form} if benchmark.only_attention else needed_shares(case.config)
            known = needed <= set(calibration.achieved)
            points.append(
                Point(
                    size=size,
                    form=form,
                    estimated_s=seconds(case.config, size.grid, calibration) if known else None,
                    measured_s=benchmark.time(case, (end - time.perf_counter()) / 4),
                )
            )
    return points
