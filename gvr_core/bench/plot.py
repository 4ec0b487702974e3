"""The picture of a sweep."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from ..whole_files import written_whole
from .estimate import FORMS
from .sweep import Point

COLOURS = {"full": "tab:red", "units": "tab:orange", "sparse": "tab:blue"}
SUFFIXES = (".png", ".pdf", ".svg")


def check_plot(path: Path) -> None:
    """Raises ValueError if no picture can be drawn for `path`: matplotlib is missing, or the suffix is another one."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("plots need matplotlib, which is not installed: pip install matplotlib, or leave out --plot")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"cannot draw {path}: the suffix is {path.suffix!r}, expected one of {', '.join(SUFFIXES)}")


def draw(path: Path, over_frames: Sequence[Point], over_heights: Sequence[Point], *, title: str, what: str) -> None:
    """Write two panels with seconds of one call: lines are estimates, dots were measured.

    Args:
        path: picture to write, whole or not at all.
        over_frames: points of one resolution.
        over_heights: points of one number of frames.
        title: machine and model.
        what: of which call the seconds are.

    Raises:
        ValueError: matplotlib is missing, or the suffix is not one of a picture.
    """
    check_plot(path)
    import matplotlib

    matplotlib.use("Agg")  # no screen needed
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.2), sharey=True)
    panels = (
        (over_frames, "frames", "frames at {0.width} x {0.height}"),
        (over_heights, "height", "rows of pixels at {0.frames} frames"),
    )
    for axis, (points, attribute, label) in zip(axes, panels, strict=True):
        for form in FORMS:
            own = [point for point in points if point.form == form]
            for name, style in (("estimated_s", "--"), ("measured_s", "o")):
                known = [point for point in own if getattr(point, name) is not None]
                axis.plot(
                    [getattr(point.size, attribute) for point in known],
                    [getattr(point, name) for point in known],
                    style,
                    color=COLOURS[form],
                    label=form if style == "--" else None,
                )
        axis.set_yscale("log")
        axis.set_xlabel(label.format(points[0].size))
        axis.grid(visible=True, which="major", linewidth=0.4)
    axes[0].set_ylabel(f"seconds of {what}\ndots measured, lines estimated")
    axes[0].legend()
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=110, format=path.suffix[1:].lower())
    pyplot.close(figure)
