"""`demo [CLIP]`: the main job on the embedded default, on the user's clip or on one that is rendered for it.

What the cascade gets is the clip's low-resolution latent, as from a text-to-video model. So what it is compared with is
that latent decoded and enlarged in pixels: what a user has without it.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from ..cascade import Cascade
from ..coding import decode_frames, encode_frames
from ..comparison import comparison_sheet
from ..metrics import laplacian_energy, psnr, ssim, temporal_flicker
from ..picture_files import write_picture
from ..sample_clip import render_sample_clip
from ..video import VideoReader, VideoWriter, probe
from .job import Job, UpscaleRequest
from .progress import Progress
from .upscale import choose_device

FRAMES, HEIGHT, WIDTH, FPS = 25, 768, 1280, 24
"""Size of the rendered original; the cascade sees half of it."""
MEASURED = 65
"""Frames that the metrics look at; a user's clip may be too long to have in memory."""


def add_demo_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "clip", type=Path, nargs="?", metavar="CLIP", help="a clip to enlarge twice (default: rendered)"
    )
    command.add_argument("--output", type=Path, default=Path("demo"), metavar="DIR", help="folder for the results")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, mps ...")


def run_demo(arguments: argparse.Namespace) -> None:
    started = time.perf_counter()
    folder: Path = arguments.output
    clip, original = arguments.clip, None
    if clip is not None:
        probe(clip)  # its errors, before a folder is made
    cascade = Cascade.nano(device=choose_device(arguments.device))
    folder.mkdir(parents=True, exist_ok=True)
    if clip is None:
        original, clip = render_pair(folder)
    result, sheet = folder / "upscaled.mp4", folder / "comparison.png"
    request = UpscaleRequest(source=clip, target=result, scale=2.0, seed=arguments.seed)
    with Progress() as progress:
        report = Job(cascade, request, progress).run()
    print(format_report(report), file=sys.stderr)
    print(write_comparison(decode_latent(cascade, clip), result, original, sheet))
    print(f"\nvideo       {result}\ncomparison  {sheet}\nseconds     {time.perf_counter() - started:.0f}")


def render_pair(folder: Path) -> tuple[Path, Path]:
    """Write the rendered clip and its half-size version; returns both paths."""
    original, low = folder / "original.mp4", folder / "input.mp4"
    with (
        VideoWriter(original, width=WIDTH, height=HEIGHT, fps=FPS, crf=8) as high_writer,
        VideoWriter(low, width=WIDTH // 2, height=HEIGHT // 2, fps=FPS, crf=8) as low_writer,
    ):
        for frame in render_sample_clip(frames=FRAMES, height=HEIGHT, width=WIDTH):
            high_writer.write(frame[None])
            small = cv2.resize(frame, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
            low_writer.write(small[None])
    return original, low


def format_report(report: dict) -> str:
    """Sizes and the seconds of each phase, one line."""
    before, after = report["input"], report["output"]
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report["phases"].items())
    size = f"{before['width']} x {before['height']} -> {after['width']} x {after['height']}"
    return f"{size}, {after['frames']} frames: {phases}"


def decode_latent(cascade: Cascade, clip: Path) -> np.ndarray:
    """What the low-resolution latent of a clip shows: its first frames, encoded and decoded, uint8 `t h w 3`."""
    with VideoReader(clip) as reader:
        height, width = reader.info.height, reader.info.width
        pieces = (frame[None] for frame in islice(reader, MEASURED))
        # Causal: the beginning has the same latent as in the whole clip.
        latent, frames = encode_frames(cascade.vae, pieces, cascade.space, cascade.device)
    return np.concatenate(list(decode_frames(cascade.vae, latent, frames=frames, height=height, width=width)))


def write_comparison(low: np.ndarray, result: Path, original: Path | None, sheet: Path) -> str:
    """Write the before/after picture and return the table of metrics.

    With an original every figure is measured against it. Without one, how far the result, halved again, is from the
    decoded latent takes the place of PSNR and SSIM, and sharpness and flicker are shares of bicubic's.

    Args:
        low: the decoded low-resolution latent, uint8 `t h w 3`.
        result: the enlarged video.
        original: the video that `low` was made from, where there is one.
        sheet: the picture to write.
    """
    ours = read_frames(result)
    size = (ours.shape[2], ours.shape[1])
    ways = {
        name: np.stack([cv2.resize(frame, size, interpolation=how) for frame in low])
        for name, how in (("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC))
    }
    ways["GVR"] = ours
    truth = None if original is None else read_frames(original)
    middle = len(ours) // 2
    nearest = cv2.resize(low[middle], size, interpolation=cv2.INTER_NEAREST)
    pictures = [("latent, decoded", nearest), ("then bilinear", ways["bilinear"][middle]), ("GVR", ours[middle])]
    if truth is not None:
        pictures.append(("original", truth[middle]))
    write_picture(sheet, comparison_sheet(pictures, reference=pictures[-1][1]))

    base = ways["bicubic"] if truth is None else truth
    against = "decoded latent, halved again" if truth is None else "original"
    share = "bicubic's" if truth is None else "the original's"
    lines = [
        "bilinear and bicubic: of the decoded latent",
        f"{'':10s} PSNR to {against}   SSIM   sharpness   flicker   (the last two: share of {share})",
    ]
    for name, clip_pixels in ways.items():
        near, far = (clip_pixels, truth) if truth is not None else (halved(clip_pixels, low.shape), low)
        sharp = share_of(laplacian_energy(clip_pixels), laplacian_energy(base))
        flicker = share_of(temporal_flicker(clip_pixels), temporal_flicker(base))
        width = len(f"PSNR to {against}")
        lines.append(f"{name:10s} {psnr(near, far):{width}.2f} {ssim(near, far):6.3f} {sharp:11.2f} {flicker:9.2f}")
    return "\n".join(lines)


def share_of(value: float, base: float) -> float:
    """`value` as a share of `base`; NaN where there is none, as in flat or still pictures."""
    return value / base if base else float("nan")


def halved(frames: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Area averaged to the height and width of `shape` (`t h w c`)."""
    return np.stack([cv2.resize(frame, (shape[2], shape[1]), interpolation=cv2.INTER_AREA) for frame in frames])


def read_frames(path: Path) -> np.ndarray:
    """The first frames, at most `MEASURED`, uint8 `t h w 3`."""
    with VideoReader(path) as reader:
        return np.stack(list(islice(reader, MEASURED)))
