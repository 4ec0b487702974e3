"""`upscale IN OUT`: file to file, streamed on both sides."""

from __future__ import annotations

import argparse
import json
import time
from fractions import Fraction
from pathlib import Path

import torch

from ..cascade import UPSAMPLERS, Cascade, nano_path
from ..solvers import SOLVERS
from .job import Job, UpscaleRequest
from .progress import Progress
from .targets import keep_inputs


def add_upscale_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `upscale`; what is left out comes from the checkpoint."""
    command.add_argument("input", type=Path, metavar="IN", help="video, folder of pictures or latent (raw values)")
    command.add_argument(
        "output", type=Path, metavar="OUT", help="video, latent (.latent, .safetensors), or a folder for PNG frames"
    )
    size = command.add_mutually_exclusive_group()
    size.add_argument("--scale", type=float, help="spatial factor, at least 1 (default 2)")
    size.add_argument("--height", type=int, help="rows of the output in pixels, e.g. 1080; the width follows")
    command.add_argument("--steps", type=int, help="denoising steps")
    command.add_argument("--solver", choices=list(SOLVERS))
    command.add_argument("--noise-aug", type=float, help="0 to below 1: low keeps to the input, high restores more")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--upsampler", choices=UPSAMPLERS, default="latent", help="where the latent is enlarged")
    command.add_argument(
        "--reference", type=Path, nargs="+", action="extend", default=[], metavar="IMG", help="ID pictures"
    )
    command.add_argument("--reference-video", type=Path, metavar="V")
    command.add_argument(
        "--context", type=Path, metavar="FILE", help=".safetensors with the encoded prompts `positive` and `negative`"
    )
    command.add_argument("--s-txt", type=float, help="text guidance, 0 = off (default 3.0 where there is text)")
    command.add_argument(
        "--s-ref", type=float, help="reference guidance, 0 = off (default 1.0 where there are references)"
    )
    command.add_argument("--n-ref", type=int, help="first steps with reference guidance (default 30 %% of the steps)")
    command.add_argument("--fps", type=frame_rate, help="frames per second, where the input does not say")
    command.add_argument("--model", default="nano", help="nano (embedded) or a checkpoint file")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    command.add_argument("--compare", type=Path, metavar="PNG", help="write a before/after picture")
    command.add_argument("--json", action="store_true", help="print one JSON object about the run")


def frame_rate(text: str) -> Fraction:
    """Frames per second from the command line, such as 24, 23.976 or 30000/1001."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and at most 1000: give for example 30000/1001")
    return rate


def choose_device(name: str) -> torch.device:
    """The torch device called `name`; "auto" is CUDA or Metal where there is one, else the CPU.

    Raises:
        ValueError: no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # the value too: "meta" has none
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(f"device {name!r} cannot be used here: choose auto or cpu") from error
    return device


def run_upscale(arguments: argparse.Namespace) -> None:
    request = UpscaleRequest(
        source=arguments.input,
        target=arguments.output,
        scale=2.0 if arguments.scale is None and arguments.height is None else arguments.scale,
        height=arguments.height,
        upsampler=arguments.upsampler,
        seed=arguments.seed,
        overrides={
            "num_steps": arguments.steps,
            "solver": arguments.solver,
            "noise_aug": arguments.noise_aug,
            "s_txt": arguments.s_txt,
            "s_ref": arguments.s_ref,
            "n_ref": arguments.n_ref,
        },
        references=tuple(arguments.reference),
        reference_video=arguments.reference_video,
        context=arguments.context,
        fps=arguments.fps,
        compare=arguments.compare,
    )
    started = time.perf_counter()
    device = choose_device(arguments.device)
    path = nano_path() if arguments.model == "nano" else Path(arguments.model)
    keep_inputs((request.target, request.compare), (path,))
    with Progress() as progress:
        report = Job(Cascade.load(path, device=device), request, progress).run()
    report["seconds"] = round(time.perf_counter() - started, 2)
    if arguments.json:
        print(json.dumps(report))
