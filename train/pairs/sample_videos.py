"""The videos of a clip's samples and their reference pictures, in one pass over its frames."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TypeVar

import cv2
import numpy as np

from .cutting import Cut, fit
from .lossless_video import LosslessWriter
from .source_clips import Clip, ClipError, tool_errors

Window = TypeVar("Window")
WRITER = "the writer of lossless videos (libx264rgb of FFmpeg)"


def cut_clip(
    clip: Clip, cuts: list[Cut], bucket: tuple[int, int], fps: Fraction, starts: dict[Cut, int]
) -> tuple[dict[Cut | tuple[Cut, int], bytes], dict[int | None, dict[str, bytes]]]:
    """The videos of all cuts, and of `(cut, start)` for reference videos; by frame number the tar members of reference
    pictures. One pass over the clip, another one over the video before the edit.

    Frames are encoded as they come: `cut.most` bounds the encoded samples that are held.
    """
    samples = {cut: (cut.start, cut.length) for cut in cuts}
    shifted = {(cut, start): (start, cut.length) for cut, start in starts.items()}
    if clip.source() is None:
        return _read(clip, clip.frames(), samples | shifted, cuts, bucket, fps)
    videos, references = _read(clip, clip.frames(), samples, cuts, bucket, fps)
    return videos | _read(clip, clip.source_frames(), shifted, [], bucket, fps)[0], references


def _read(
    clip: Clip,
    frames: Iterator[np.ndarray],
    windows: dict[Window, tuple[int, int]],
    cuts: list[Cut],
    bucket: tuple[int, int],
    fps: Fraction,
) -> tuple[dict[Window, bytes], dict[int | None, dict[str, bytes]]]:
    """The videos of the windows (first frame, length), and the reference pictures of the cuts by frame number."""
    if not windows:
        return {}, {}
    with tool_errors(WRITER, clip.name):
        writers = {window: LosslessWriter(width=bucket[0], height=bucket[1], fps=fps) for window in windows}
    videos: dict[Window, bytes] = {}
    wanted = {cut.reference for cut in cuts if cut.reference is not None}
    references: dict[int | None, dict[str, bytes]] = {}
    last = max([*wanted, *(start + length - 1 for start, length in windows.values())])
    for number, frame in enumerate(frames):
        running = [window for window, (start, length) in windows.items() if start <= number < start + length]
        if running or number in wanted:
            fitted = fit(frame, bucket)
            with tool_errors(WRITER, clip.name):
                for window in running:
                    writers[window].write(fitted)
                    if number == sum(windows[window]) - 1:
                        videos[window] = writers.pop(window).finish()
            if number in wanted:
                references[number] = {"reference.png": _png(clip, fitted[..., ::-1])}
                mask = clip.mask_at(number)
                if mask is not None:
                    references[number]["reference_mask.png"] = _png(clip, fit(mask, bucket, is_mask=True))
        if number == last:
            return videos, references
    raise ClipError(
        f"{clip.name}: a video ended before frame {last}: the one before the edit must be as long as the clip"
        if clip.source() is not None
        else f"{clip.name} ended before frame {last}, which it had a moment ago: was it replaced?"
    )


def _png(clip: Clip, picture: np.ndarray) -> bytes:
    with tool_errors("the PNG encoder", clip.name):
        return cv2.imencode(".png", picture)[1].tobytes()
