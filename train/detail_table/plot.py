"""A detail table as a picture: the share of each noise level, how videos differ, and the schedule that follows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gvr_core.schedules import DetailTable, detail_aware_sigmas

SHOWN_STEPS = 12


def plot_table(table: DetailTable, each: list[list[float]], out: Path, *, title: str) -> None:
    """Write a picture.

    Args:
        table: of all videos.
        each: the shares of each video.
        out: .png or .svg.
        title: what was measured.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    edges, gains = np.array(table.sigmas), 100 * np.array(table.gains)
    bins = len(gains)
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    centres, widths = (edges[:-1] + edges[1:]) / 2, edges[:-1] - edges[1:]
    left.bar(centres, gains, widths, color="#3b7dd8", alpha=0.85, edgecolor="white", linewidth=0.3, label="all videos")
    if len(each) > 1:
        low, high = np.percentile(100 * np.array(each), [10, 90], axis=0)
        left.fill_between(
            centres, low, high, color="#e0823d", alpha=0.3, label="10 % to 90 % of the videos", step="mid"
        )
    left.axhline(100 / bins, color="0.4", linestyle="--", linewidth=1, label="uniform")
    left.set(xlabel="noise level sigma", ylabel=f"share of the detail in each of {bins} steps, %", xlim=(1, 0))
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=9)

    right.plot(edges, np.insert(gains, 0, 0).cumsum(), color="#3b7dd8", label="detail gained")
    right.plot(edges, 100 * (1 - edges), color="0.4", linestyle="--", linewidth=1, label="uniform")
    sigmas = detail_aware_sigmas(table, SHOWN_STEPS).numpy()
    right.plot(
        sigmas,
        np.linspace(0, 100, SHOWN_STEPS + 1),
        "o",
        color="#e0823d",
        markersize=4,
        label=f"a schedule of {SHOWN_STEPS} steps",
    )
    right.set(xlabel="noise level sigma", ylabel="detail gained so far, %", xlim=(1, 0), ylim=(0, 103))
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xticks(np.linspace(1, 0, 6))
    figure.suptitle(title, fontsize=11)
    FigureCanvasAgg(figure)
    figure.savefig(out, dpi=110)
