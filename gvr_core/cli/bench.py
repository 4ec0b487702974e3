"""`bench`: what full attention, temporal units and sparse local attention cost on this machine."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..attention import TokenGrid
from ..bench.benchmark import Benchmark
from ..bench.findings import Findings
from ..bench.forecast import count_evaluations, default_n_ref, make_forecast
from ..bench.plot import check_plot, draw
from ..bench.report import (
    findings_values,
    forecast_values,
    format_forecast,
    format_head,
    format_sections,
    sections_values,
)
from ..bench.results import make_sections
from ..bench.sizes import MODELS, Size, model_config, size_of_grid, with_heads
from ..bench.sweep import frame_sizes, height_sizes, sweep
from ..guidance import MultiGuidance
from .targets import check_file
from .upscale import choose_device

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEFAULT_DTYPES = {"cuda": "bfloat16", "mps": "float16"}
BUDGET, QUICK = 60.0, 10.0
LEGEND = """~ extrapolated by counted FLOPs: from the smaller run that is named (exactly linear in heads), or a sum of
parts that were measured apart. Everything else was run here at this size.
limit: max(FLOPs / rate of matrix products, bytes / rate of copies)
speed: against full attention. The three operations are three answers: block and model have their dense layers beside
attention and gain less than it does.
memory: beyond inputs and weights; of the model with its weights. Approximate on a CPU."""


def add_bench_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `bench`."""
    command.add_argument("--size", default="1.3b", help=f"{', '.join(MODELS)} or a checkpoint file (default 1.3b)")
    command.add_argument("--frames", type=int, default=77, help="of the video (default 77)")
    command.add_argument("--height", type=int, default=1080, help="rows in pixels (default 1080)")
    command.add_argument("--width", type=int, help="columns in pixels (default: 16:9)")
    command.add_argument("--references", type=int, default=0, metavar="N", help="ID pictures (default 0)")
    command.add_argument("--steps", type=int, default=50, help="of the run that is forecast (default 50)")
    command.add_argument("--n-ref", type=int, help="steps with reference guidance (default 30 %% of the steps)")
    command.add_argument("--attention", action="store_true", help="the attention operation alone")
    command.add_argument("--grid", type=token_grid, metavar="TxHxW", help="tokens, with --attention, e.g. 5x68x120")
    command.add_argument("--heads", type=int, help="with --attention (default: the model's)")
    command.add_argument("--head-dim", type=int, help="with --attention (default: the model's)")
    command.add_argument("--dtype", choices=list(DTYPES), help="default: float32 on CPUs, bfloat16 on CUDA")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ...")
    command.add_argument("--compile", action="store_true", help="measure once more through torch.compile")
    budget = command.add_mutually_exclusive_group()
    budget.add_argument("--budget", type=float, default=BUDGET, metavar="SECONDS", help="for the runs (default 60)")
    budget.add_argument("--quick", dest="budget", action="store_const", const=QUICK, help="--budget 10")
    command.add_argument("--plot", type=Path, metavar="PNG", help="draw time against frames and resolution")
    command.add_argument("--json", action="store_true", help="print one JSON object")


def token_grid(text: str) -> TokenGrid:
    """A grid of tokens from the command line, frames x rows x columns."""
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text)
    if match is None or "0" in match.groups():
        raise argparse.ArgumentTypeError(f"{text!r} is not frames x rows x columns: give for example 5x68x120")
    frames, height, width = map(int, match.groups())
    return TokenGrid(frames=frames, references=0, height=height, width=width)


def chosen_size(arguments: argparse.Namespace) -> Size:
    """What the arguments ask for.

    Raises:
        ValueError: arguments that do not go together, or sizes that are not possible.
    """
    config = model_config(arguments.size)
    if not arguments.attention:
        for name in ("grid", "heads", "head_dim"):
            if getattr(arguments, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')} goes with --attention only: add it, or use --size")
    if arguments.heads is not None or arguments.head_dim is not None:
        heads = config.num_heads if arguments.heads is None else arguments.heads
        head_dim = config.head_dim if arguments.head_dim is None else arguments.head_dim
        config = with_heads(config, heads, head_dim)
    if arguments.grid is not None:
        return replace(size_of_grid(config, arguments.grid), references=arguments.references)
    width = round(arguments.height * 16 / 9 / 2) * 2 if arguments.width is None else arguments.width
    return Size(
        config=config,
        frames=arguments.frames,
        height=arguments.height,
        width=width,
        references=arguments.references,
    )


def run_bench(arguments: argparse.Namespace) -> None:
    size = chosen_size(arguments)
    steps = arguments.steps
    n_ref = default_n_ref(steps) if arguments.n_ref is None else arguments.n_ref
    count_evaluations(MultiGuidance(n_ref=n_ref), steps, has_text=True, has_references=True)  # its errors, before work
    if arguments.plot is not None:
        check_plot(arguments.plot)
        check_file(arguments.plot)
    device = choose_device(arguments.device)
    dtype = DTYPES[arguments.dtype or DEFAULT_DTYPES.get(device.type, "float32")]
    benchmark = Benchmark(size, device, dtype, budget=arguments.budget, only_attention=arguments.attention)
    findings = benchmark.run()
    sections = make_sections(findings)
    values = {
        **findings_values(findings),
        **sections_values(sections),
        "calibration": findings.calibration.to_dict(),
    }
    text = [format_head(findings), format_sections(sections)]
    if "model" in sections:
        runs = make_forecast(findings, sections["model"], steps=steps, n_ref=n_ref)
        values["forecast"] = forecast_values(runs, steps)
        text.append(format_forecast(runs, steps))
    if arguments.compile:
        compiled, note = measure_compiled(benchmark, findings)
        values["compiled"] = compiled
        text.append(note)
    if arguments.plot is not None:
        plot(arguments.plot, benchmark, findings)
        text.append(f"plot: {arguments.plot}")
    print(json.dumps(values) if arguments.json else "\n\n".join([*text, LEGEND]))


def measure_compiled(benchmark: Benchmark, findings: Findings) -> tuple[dict[str, Any], str]:
    """The sections once more through torch.compile, as values and as text; says why where it does not work."""
    try:
        sections = make_sections(benchmark.compiled_again(findings))
    except RuntimeError as error:  # what is raised without a compiler depends on the platform and on the version
        reason = " ".join(str(error).split())[:300]
        return {"error": reason}, f"torch.compile does not work here, it needs a compiler (C++ or Triton): {reason}"
    return sections_values(sections), f"through torch.compile:\n{format_sections(sections)}"


def plot(path: Path, benchmark: Benchmark, findings: Findings) -> None:
    """Draw the picture; measurements for it may take as long as the benchmark itself."""
    size = findings.size
    over_frames, over_heights = frame_sizes(size), height_sizes(size)
    what = "the attention of one layer" if benchmark.only_attention else "one evaluation of the model"
    draw(
        path,
        sweep(benchmark, findings, over_frames, benchmark.budget / 2),
        sweep(benchmark, findings, over_heights, benchmark.budget / 2),
        title=format_head(findings),
        what=what,
    )
