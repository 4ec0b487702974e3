"""`degrade IN OUT`: a clip as a text-to-video model, or a camera and an encoder, would have spoilt it."""

from __future__ import annotations

import argparse
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..comparison import comparison_sheet
from ..degradations.config import REFERENCE_SIDE, FlowDegradation, SyntheticDegradation
from ..degradations.flow_based import Degraded, degrade_flow
from ..degradations.flow_picture import FULL_COLOUR, flow_picture
from ..picture_files import write_picture
from ..video import VideoReader, VideoWriter, check_writable
from .progress import Progress
from .targets import check_file, keep_inputs

_CONFIGS = {"flow": FlowDegradation, "synthetic": SyntheticDegradation}


def add_degrade_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("input", type=Path, metavar="IN", help="video or folder of pictures")
    command.add_argument("output", type=Path, metavar="OUT", help="video, or a folder for PNG frames")
    command.add_argument("settings", nargs="*", metavar="name=value", help="settings of this kind, see below")
    command.add_argument("--kind", choices=list(_CONFIGS), default="flow", help="what happens to it (default flow)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--compare", type=Path, metavar="PNG", help="write a before/after picture of one frame")
    command.add_argument("--flow", type=Path, metavar="V", help="write the motion as a video of colours (kind flow)")
    command.epilog = " ".join(f"{kind}: {', '.join(_defaults(config()))}." for kind, config in _CONFIGS.items())
    parse = command.parse_known_args

    def parse_known_args(args: list[str] | None = None, namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:
        # argparse ends a list of positional arguments at the first option; settings may come after one as well.
        found, rest = parse(args, namespace)
        found.settings += [text for text in rest if re.match(r"\w+=", text)]
        return found, [text for text in rest if not re.match(r"\w+=", text)]

    command.parse_known_args = parse_known_args


def run_degrade(arguments: argparse.Namespace) -> None:
    config = _CONFIGS[arguments.kind]().with_fields(arguments.settings)
    _check_targets(arguments)
    started, frames = time.perf_counter(), 0
    with VideoReader(arguments.input) as reader, Progress() as progress, ExitStack() as writers:
        info = reader.info
        expected = info.frames or (round(info.duration * info.fps) if info.duration else None)
        progress.phase("degrade", expected, "frame")
        sheet = Sheet() if arguments.compare else None
        waiting: deque[np.ndarray] = deque()
        sound = arguments.input if info.has_audio else None
        target = LateWriter(arguments.output, info.fps, sound, writers)
        flow_target = LateWriter(arguments.flow, info.fps, None, writers) if arguments.flow else None
        longest = FULL_COLOUR * min(info.width, info.height) / REFERENCE_SIDE
        results = _results(_remembered(reader, waiting), config, seed=arguments.seed, clip_id=arguments.input.name)
        for result in results:
            original = waiting.popleft()
            target.write(result.frame)
            if flow_target:
                flow_target.write(flow_picture(-result.flow, longest=longest))
            if sheet:
                sheet.add(original, result)
            frames += 1
            progress.advance()
        # Before the writers' end: an error here must leave no half of the results.
        if sheet:
            write_picture(arguments.compare, sheet.picture())
    seconds = time.perf_counter() - started
    print(f"{arguments.output}: {frames} frames, {frames / seconds:.1f} frames per second")


class LateWriter:
    """Writes a video whose size is known with its first frame."""

    def __init__(self, path: Path, fps: Fraction, audio_from: Path | None, stack: ExitStack) -> None:
        self.path, self.fps, self.audio_from, self.stack = path, fps, audio_from, stack
        self.writer: VideoWriter | None = None

    def write(self, frame: np.ndarray) -> None:
        if self.writer is None:
            height, width = frame.shape[:2]
            writer = VideoWriter(self.path, width=width, height=height, fps=self.fps, audio_from=self.audio_from)
            self.writer = self.stack.enter_context(writer)
        self.writer.write(frame[None])


class Sheet:
    """Keeps the frame that changed most, and shows it."""

    def __init__(self) -> None:
        self.change, self.original, self.result = -1.0, None, None

    def add(self, original: np.ndarray, result: Degraded) -> None:
        change = float(_difference(original, result.frame).mean())
        if change > self.change:
            # Readers and degradations hand over their arrays, so these stay as they are.
            self.change, self.original, self.result = change, original, result

    def picture(self) -> np.ndarray:
        """`h w 3` uint8 RGB; the details are taken where most has changed."""
        original, result = self.original, self.result
        pictures = [("before", original), ("degraded", result.frame)]
        if result.flow is not None:
            mask = np.repeat(result.mask[..., None].astype(np.uint8) * 255, 3, axis=2)
            speed = np.hypot(result.flow[..., 0], result.flow[..., 1])
            # Not the fastest pixel, which may be the flow's mistake and would leave all others pale.
            longest = float(np.percentile(speed[result.mask], 99)) if result.mask.any() else None
            pictures += [("motion mask", mask), ("motion", flow_picture(-result.flow, longest=longest))]
        return comparison_sheet(pictures, reference=_difference(original, result.frame))


def _results(frames: Iterable[np.ndarray], config: Any, *, seed: int, clip_id: str) -> Iterator[Degraded]:
    if isinstance(config, FlowDegradation):
        yield from degrade_flow(frames, config, seed=seed, clip_id=clip_id)
        return
    # Its video encoder is not needed for the other kind.
    from ..degradations.synthetic import degrade_synthetic

    for frame in degrade_synthetic(frames, config, seed=seed, clip_id=clip_id):
        yield Degraded(frame=frame, mask=None, flow=None)


def _remembered(frames: Iterable[np.ndarray], waiting: deque[np.ndarray]) -> Iterator[np.ndarray]:
    """The same frames, kept until their results come: an encoder gives them back some frames later."""
    for frame in frames:
        waiting.append(frame)
        yield frame


def _difference(original: np.ndarray, degraded: np.ndarray) -> np.ndarray:
    if original.shape != degraded.shape:
        degraded = cv2.resize(degraded, original.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.absdiff(original, degraded)


def _defaults(config: Any) -> Iterator[str]:
    for name, value in vars(config).items():
        yield f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"


def _check_targets(arguments: argparse.Namespace) -> None:
    targets = [path for path in (arguments.output, arguments.compare, arguments.flow) if path is not None]
    if arguments.flow and arguments.kind != "flow":
        raise ValueError(f"--flow shows the motion of --kind flow, not of {arguments.kind}: leave it out")
    if len({path.absolute() for path in targets}) < len(targets):
        raise ValueError("two results would have one name: give OUT, --compare and --flow names of their own")
    keep_inputs(targets, (arguments.input,))
    check_writable(arguments.output)
    if arguments.flow:
        check_writable(arguments.flow)
    if arguments.compare:
        if arguments.compare.suffix.lower() != ".png":
            raise ValueError(f"cannot write the comparison {arguments.compare}: give a name ending in .png")
        check_file(arguments.compare)
