"""Compare Videos: two clips side by side in one player, pixel by pixel."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from itertools import zip_longest
from typing import Any

from comfy_api.latest import io

from . import host
from .clips import Clip, open_clip
from .preview_files import PreviewFile, shown_size

UI_KEY = "gvr_compare"
"""Key of the result in the `executed` message and in the history."""
SAME_SHAPE = 0.03
"""Ratios of width to height that differ by less are one picture, cropped or padded by a few pixels."""


class CompareVideo(io.ComfyNode):
    """Two clips of one length in a player with a wipe, side by side or as their difference."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRCompareVideo",
            display_name="Compare Videos",
            category="GVR",
            description="Plays two clips of the same number of frames in step: wipe, side by side or difference, zoom "
            "to single pixels, frame by frame. Their sizes may differ. The view is kept in the workflow; changing it "
            "computes nothing.",
            search_aliases=["video comparer", "compare video", "wipe", "before after", "side by side", "difference"],
            is_output_node=True,
            inputs=[
                io.MultiType.Input(
                    "a", types=[io.Image, io.Video], tooltip="First clip, IMAGE or VIDEO: the one before, say."
                ),
                io.MultiType.Input(
                    "b",
                    types=[io.Image, io.Video],
                    tooltip="Second clip, IMAGE or VIDEO, with as many frames as a; its size may differ.",
                ),
                io.Float.Input(
                    "fps",
                    default=24.0,
                    min=0.1,
                    max=240.0,
                    step=0.01,
                    round=0.001,
                    tooltip="Frames per second of IMAGE inputs, 0.1 to 240. A VIDEO brings its own.",
                ),
                io.String.Input("label_a", default="before", tooltip="Name of a, written on the picture."),
                io.String.Input("label_b", default="after", tooltip="Name of b, written on the picture."),
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, a: Any, b: Any, fps: float, label_a: str, label_b: str) -> io.NodeOutput:
        with open_clip(a, "a") as clip_a, open_clip(b, "b") as clip_b:
            if None not in (clip_a.count, clip_b.count):
                check_counts(clip_a.count, clip_b.count)
            rate = clip_a.fps or clip_b.fps or Fraction(fps)
            rate = rate.limit_denominator(1001)
            files, frames = _write(clip_a, clip_b, rate)
            notes = [*_notes_on_sizes(clip_a, clip_b), *_notes_on_rates(clip_a.fps, clip_b.fps)]
        result = {"frames": frames, "fps": float(rate), "labels": [label_a, label_b], "notes": notes}
        return io.NodeOutput(ui={UI_KEY: [{"a": files[0], "b": files[1], **result}]})


def check_counts(frames_a: int, frames_b: int) -> None:
    """Raises ValueError where the numbers of frames differ."""
    if frames_a != frames_b:
        raise ValueError(
            f"a has {frames_a} frames and b has {frames_b}, expected the same number: cut the longer one, or decode "
            "with Decode Video (GVR), which drops the frames a VAE has added"
        )


def _write(clip_a: Clip, clip_b: Clip, fps: Fraction) -> tuple[list[dict[str, Any]], int]:
    """Writes both previews frame by frame; returns their descriptions and the number of frames."""
    frames = 0
    bar = host.ProgressBar(clip_a.claimed or clip_b.claimed or 1)
    with ExitStack() as stack:
        files = [stack.enter_context(PreviewFile(clip.width, clip.height, fps)) for clip in (clip_a, clip_b)]
        for frame_a, frame_b in zip_longest(clip_a.frames, clip_b.frames):
            host.check_interrupt()
            if frame_b is None:
                check_counts(frames + 1 + sum(1 for _ in clip_a.frames), frames)
            if frame_a is None:
                check_counts(frames, frames + 1 + sum(1 for _ in clip_b.frames))
            files[0].write(frame_a)
            files[1].write(frame_b)
            frames += 1
            bar.update(1)
    return [file.describe() for file in files], frames


def _notes_on_sizes(clip_a: Clip, clip_b: Clip) -> list[str]:
    notes = []
    for name, clip in (("a", clip_a), ("b", clip_b)):
        width, height = shown_size(clip.width, clip.height)
        if (width, height) != (clip.width, clip.height):
            notes.append(f"{name} is shown at {width} × {height} instead of {clip.width} × {clip.height}.")
    ratio = (clip_a.width * clip_b.height) / (clip_a.height * clip_b.width)
    if abs(ratio - 1) > SAME_SHAPE:
        notes.append("a and b have different shapes: each is shown whole, so their pixels do not lie on each other.")
    return notes


def _notes_on_rates(fps_a: Fraction | None, fps_b: Fraction | None) -> list[str]:
    if fps_a is None or fps_b is None or abs(fps_a - fps_b) < Fraction(1, 100):
        return []
    return [f"b is played at a's {float(fps_a):g} frames per second instead of its own {float(fps_b):g}."]
