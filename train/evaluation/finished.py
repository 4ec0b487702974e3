"""Finished videos, of any upscaler: each folder of results is a row, videos are matched by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from gvr_core.video import VideoReader

from ..data import SUFFIXES
from .metric import Metric, Missing, Sample, measure_all
from .table import Table

BICUBIC, ORIGINAL = "bicubic of the input", "original"


def find_videos(folder: Path) -> dict[str, Path]:
    """Name without suffix -> video, of a folder.

    Raises:
        ValueError: no such folder, no videos, or two of one name.
    """
    if not folder.is_dir():
        raise ValueError(f"no such folder of videos: {folder}")
    videos: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            if path.stem in videos:
                raise ValueError(f"{videos[path.stem]} and {path} have one name: videos are matched by it, rename one")
            videos[path.stem] = path
    if not videos:
        raise ValueError(f"no videos in {folder}: expected files ending in {', '.join(sorted(SUFFIXES))}")
    return videos


def read_clip(path: Path, frames: int = 0) -> np.ndarray:
    """The first `frames` frames (0: all) of a video, uint8 `t h w 3`.

    Raises:
        ValueError: the video cannot be read.
    """
    with VideoReader(path) as reader:
        return np.stack(list(islice(reader, frames or None)))


def evaluate_results(
    results: Mapping[str, Path],
    *,
    metrics: Sequence[Metric],
    originals: Path | None = None,
    inputs: Path | None = None,
    references: Sequence[np.ndarray] = (),
    frames: int = 0,
    baselines: bool = True,
    advance: Callable[[], object] = lambda: None,
) -> Table:
    """The table of folders of results. Videos whose name is in no folder of results are passed by.

    Args:
        results: row -> folder.
        metrics: what to measure.
        originals: folder of the truth, for metrics that compare.
        inputs: folder of the low-resolution videos, for colours where there is no original.
        references: ID pictures, `h w 3` uint8.
        frames: only the first so many frames of each video; 0 for all.
        baselines: adds bicubically enlarged inputs, and the originals themselves, as rows where those are given.
        advance: called after each clip.

    Raises:
        ValueError: folders without videos, or videos that cannot be read.
    """
    if frames < 0:
        raise ValueError(f"frames are {frames}, expected at least 1, or 0 for all of a video")
    found = {row: find_videos(folder) for row, folder in results.items()}
    truth = find_videos(originals) if originals else {}
    sources = find_videos(inputs) if inputs else {}
    extra = [ORIGINAL] * bool(truth) + [BICUBIC] * bool(sources) if baselines else []
    taken = next((row for row in extra if row in found), None)
    if taken:
        raise ValueError(f"{taken!r} is the name of a row of its own: name the folder of results otherwise")
    table = Table([metric.column for metric in metrics], {row: {} for row in [*found, *extra]})
    for name in sorted({name for videos in found.values() for name in videos}):
        original = read_clip(truth[name], frames) if name in truth else None
        source = read_clip(sources[name], frames) if name in sources else None
        given = {"source": source, "references": references}
        size = None if original is None else original.shape[1:3]
        for row, videos in found.items():
            if name not in videos:
                reason = Missing(f"there is no {name} in {results[row]}")
                table.rows[row][name] = {metric.column.name: reason for metric in metrics}
                continue
            clip = read_clip(videos[name], frames)
            size = size or clip.shape[1:3]
            table.rows[row][name] = measure_all(Sample(clip=clip, original=original, **given), metrics)
        for row in extra:
            clip = original if row == ORIGINAL else enlarge(source, *size) if source is not None else None
            if clip is None:
                reason = Missing(f"there is no {row.split()[-1]} of {name}")
                table.rows[row][name] = {metric.column.name: reason for metric in metrics}
                continue
            sample = Sample(clip=clip, original=original, is_original=row == ORIGINAL, **given)
            table.rows[row][name] = measure_all(sample, metrics)
        advance()
    return table


def enlarge(clip: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 `t h w 3` brought to a size, bicubically."""
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC) for frame in clip])
