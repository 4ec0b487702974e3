"""The curves of runs: every figure of `log.jsonl` over the steps, smoothed, as one picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

SHOWN = {
    "loss": "loss",
    "validation/loss": "loss on held-out clips",
    "psnr": "PSNR of the batch, dB",
    "validation/psnr": "PSNR of held-out samples, dB",
    "latent": "latent squared error",
    "edges": "edge error",
}


def read_log(run: Path) -> dict[str, np.ndarray]:
    """Figure -> value at each step, NaN where a step has none (skipped, or no look at held-out clips).

    A resumed run logs some steps twice: the later line counts.

    Raises:
        ValueError: no log there.
    """
    log = run / "log.jsonl"
    if not log.is_file():
        raise ValueError(f"no log.jsonl in {run}: give the output directory of a fit")
    entries: dict[int, dict[str, float | None]] = {}
    for entry in map(json.loads, log.read_text(encoding="utf-8").splitlines()):
        entries.setdefault(entry["step"], {}).update(entry)
    ordered = [entries[step] for step in sorted(entries)]
    names = dict.fromkeys(name for entry in ordered for name in entry)
    figures = {name: np.array([entry.get(name) for entry in ordered], dtype=np.float64) for name in names}
    return {**figures, "step": np.array(sorted(entries))}


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Moving average over `window` values; shorter at the beginning."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    return (sums[stop] - sums[start]) / (stop - start)


def plot_curves(runs: list[Path], out: Path) -> None:
    """Write a picture with a row per run and a panel per figure."""
    import matplotlib

    matplotlib.use("Agg")  # no screen needed
    from matplotlib import pyplot

    logs = [(run, read_log(run)) for run in runs]
    shown = [[name for name in SHOWN if name in log and np.isfinite(log[name]).any()] for _, log in logs]
    panels = max(map(len, shown))
    figure, axes = pyplot.subplots(len(logs), panels, figsize=(4 * panels, 2.6 * len(logs)), squeeze=False)
    for row, names, (run, log) in zip(axes, shown, logs, strict=True):
        for axis in row[len(names) :]:
            axis.set_axis_off()
        for axis, name in zip(row, names, strict=False):
            is_there = np.isfinite(log[name])
            steps, values = log["step"][is_there], log[name][is_there]
            axis.plot(steps, values, color="0.85", linewidth=0.6)
            axis.plot(steps, smooth(values, max(len(steps) // 25, 1)), color="tab:blue")
            low, high = np.percentile(values, [1, 99])
            if high > low:
                axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
            axis.set_title(f"{run.name}: {SHOWN[name]}", fontsize=9)
            axis.tick_params(labelsize=8)
    figure.tight_layout()
    figure.savefig(out, dpi=90)
    pyplot.close(figure)
