"""What flow-based degradation must hold at 1280 x 720 on two cores: `python tests/benchmarks/flow_degradation.py`.

77 frames at no less than 5 a second with the flow, and the rest (mask, ellipses, blur) no slower than the flow. Then
every preset and working size of the flow with its time and its error against MEDIUM on the whole frame. Leave the
machine alone meanwhile. `--small` only shows that the script works.
"""

# ruff: noqa: T201 - it prints its result
from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT] + [str(ROOT)]

from gvr_core.degradations.config import FlowDegradation  # noqa: E402 - the root is on the path only now
from gvr_core.degradations.flow_based import degrade_flow, degrade_frame  # noqa: E402
from gvr_core.degradations.optical_flow import MotionEstimator  # noqa: E402
from gvr_core.sample_clip import render_sample_clip  # noqa: E402

LEAST_RATE = 5.0


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--small", action="store_true")
    small = options.parse_args().small
    count, height, width = (6, 180, 320) if small else (77, 720, 1280)
    cv2.setNumThreads(2)
    scene = list(render_sample_clip(frames=count, height=height, width=width, start=24))
    clips = {"sample clip": scene, "everything moves": pan(scene[0], count)}
    failed = False
    for name, frames in clips.items():
        rate = count / seconds(lambda frames=frames: [None for _ in degrade(frames)])
        flow, rest = parts(frames)
        holds = small or (rate >= LEAST_RATE and rest <= flow)
        failed |= not holds
        print(
            f"{name}: {count} frames of {width} x {height} at {rate:.1f} a second; for each {1e3 * flow:.1f} ms flow "
            f"and {1e3 * rest:.1f} ms the rest{'' if holds else '   DOES NOT HOLD'}"
        )
    compare_flows(scene)
    return int(failed)


def degrade(frames: list[np.ndarray]) -> object:
    return degrade_flow(frames, FlowDegradation(), seed=0, clip_id="benchmark")


def pan(picture: np.ndarray, count: int) -> list[np.ndarray]:
    """A camera that moves a hundredth of the width with every frame, to and fro."""
    height, width = picture.shape[:2]
    large = cv2.resize(picture, None, fx=1.25, fy=1.25, interpolation=cv2.INTER_CUBIC)
    room, step = large.shape[1] - width, width // 100
    places = [abs((n * step + room) % (2 * room) - room) for n in range(count)]
    return [np.ascontiguousarray(large[:height, x : x + width]) for x in places]


def parts(frames: list[np.ndarray]) -> tuple[float, float]:
    """Median seconds for a frame: flow, and all else."""
    estimator = MotionEstimator(*frames[0].shape[:2], FlowDegradation())
    generator = np.random.default_rng(0)
    times = []
    for previous, frame in pairwise(frames):
        lumas = estimator.luma(frame), estimator.luma(previous)
        started = time.perf_counter()
        flow = estimator.flow(*lumas)
        between = time.perf_counter()
        degrade_frame(frame, previous, estimator.find_moving(flow, *lumas), estimator, generator)
        times.append((between - started, time.perf_counter() - between))
    flow, rest = np.median(times, axis=0)
    return float(flow), float(rest)


def compare_flows(frames: list[np.ndarray]) -> None:
    """Time and error of presets and sizes; the error is the mean length of the difference, in pixels."""
    height, width = frames[0].shape[:2]
    pairs = list(zip(frames[1::8], frames[0::8], strict=False))
    whole = MotionEstimator(height, width, FlowDegradation(flow_side=height))
    exact = [whole.flow(whole.luma(now), whole.luma(before)) for now, before in pairs]
    for preset in ("ultrafast", "fast", "medium"):
        for share in (1.0, 0.75, 0.5):
            side = max(64, round(height * share))
            estimator = MotionEstimator(height, width, FlowDegradation(preset=preset, flow_side=side))
            lumas = [[estimator.luma(frame) for frame in pair] for pair in pairs]
            flows = [cv2.resize(estimator.flow(*pair), (width, height)) for pair in lumas]
            errors = np.stack([np.hypot(*np.moveaxis(a - b, -1, 0)) for a, b in zip(flows, exact, strict=True)])
            each = seconds(lambda e=estimator, p=lumas: [None for pair in p if e.flow(*pair) is None]) / len(pairs)
            chosen = " (default)" if (preset, side) == (FlowDegradation().preset, FlowDegradation().flow_side) else ""
            print(
                f"flow {preset:>9} on {side} rows: {1e3 * each:5.1f} ms, differs from MEDIUM on the whole frame by "
                f"{errors.mean():.2f} pixels, in 5 % by more than {np.percentile(errors, 95):.2f}{chosen}"
            )


def seconds(work: Callable[[], object], runs: int = 2) -> float:
    """The faster run."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
