"""The table as a picture: a panel for each metric, a line in it for each row, dots for clips and their mean."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import numpy as np

from .metric import Column, Missing
from .table import Table

PLOT_SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
_PANELS = 4
"""In a line."""
_HINT = {"higher": "more is better →", "lower": "← less is better", "one": "nearer to 1 is better"}


def plot_table(table: Table, out: Path) -> None:
    """Write the picture; metrics without any number are named below it.

    Raises:
        ValueError: not one number, or the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")  # no screen needed
    from matplotlib import pyplot

    shown = [column for column in table.columns if any(len(_numbers(table, row, column)) for row in table.rows)]
    if not shown:
        raise ValueError("there is not one number to plot: every metric is missing, see the reasons")
    across = min(_PANELS, len(shown))
    down = math.ceil(len(shown) / across)
    rows = list(table.rows)
    height = 0.9 + 0.24 * len(rows)
    figure, axes = pyplot.subplots(
        down,
        across,
        figsize=(2.2 + 2.6 * across, down * height + 0.4),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    for axis, column in zip(axes.flat, shown, strict=False):
        for place, row in enumerate(rows):
            numbers = _numbers(table, row, column)
            axis.plot(numbers, np.full(len(numbers), place), "o", color="0.72", markersize=3.5, zorder=2)
            mean = table.mean(row)[column.name]
            if not isinstance(mean, Missing) and math.isfinite(mean):
                axis.plot([mean], [place], "o", color="tab:blue", markersize=7, zorder=3)
        if column.better == "one":
            axis.axvline(1, color="0.4", linewidth=0.8, zorder=1)
        axis.set_title(column.title, fontsize=9, fontweight="bold")
        axis.set_xlabel(_HINT[column.better], fontsize=7.5)
        axis.grid(axis="y", color="0.92", linewidth=0.8)
        axis.tick_params(labelsize=7.5)
        axis.margins(x=0.12)
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    missing = [column.title for column in table.columns if column not in shown]
    note = f"Blue: mean of {len(table.clips)} clips; grey: the clips."
    note += f" Not measured: {', '.join(missing)}." if missing else ""
    figure.supxlabel("\n".join(textwrap.wrap(note, 50 * across)), fontsize=7.5, color="0.3")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=100)
    except OSError as error:
        raise ValueError(f"cannot write {out}: {error.strerror}, choose another place") from error
    finally:
        pyplot.close(figure)


def _numbers(table: Table, row: str, column: Column) -> np.ndarray:
    """Finite figures of the clips."""
    figures = [clip[column.name] for clip in table.rows[row].values()]
    return np.array([f for f in figures if not isinstance(f, Missing) and math.isfinite(f)])
