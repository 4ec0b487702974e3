"""What sparse local attention must hold on a CPU in float32, as ratios: `python tests/benchmarks/attention.py`.

Every line is a comparison within one run, so that it says the same on any machine; the operations take turns and the
best run of each counts. Leave the machine alone meanwhile. `--small` only shows that the script works.
"""

# ruff: noqa: T201 - it prints its result
from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[2]
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT] + [str(ROOT)]

from alternatives import flex_attention_blocks, masked_attention  # noqa: E402 - the root is on the path only now

from gvr_core.attention import AttentionConfig, DenseAttention, TokenGrid, attend, full_attention  # noqa: E402
from gvr_core.bench.cases import Case  # noqa: E402
from gvr_core.bench.estimate import token_bytes  # noqa: E402
from gvr_core.bench.limit import RateMeter, limit_seconds  # noqa: E402
from gvr_core.bench.measure import Timing, interleave  # noqa: E402
from gvr_core.bench.memory import resident_peaks  # noqa: E402
from gvr_core.bench.operations import Operations  # noqa: E402
from gvr_core.bench.sizes import model_config, with_form, with_heads  # noqa: E402
from run import ALLOCATOR  # noqa: E402

CPU = torch.device("cpu")
CASCADE = model_config("1.3b")
ALLOWANCE = 40.0
"""Seconds for each operation of a line; a single run may take longer."""


class Line:
    """Measures and prints; remembers what did not hold."""

    def __init__(self, small: bool) -> None:
        self.small, self.failed = small, []

    def grid(self, frames: int, height: int, width: int) -> TokenGrid:
        """The grid, or one that is done in a moment."""
        if self.small:
            frames, height, width = min(frames, 4), height // 4 + height % 9, width // 5
        return TokenGrid(frames=frames, references=0, height=height, width=width)

    def measure(self, calls: dict[str, Callable[[], object]], warm_up: bool = False) -> dict[str, Timing]:
        """Timings of the calls, taking turns."""
        return interleave(calls, CPU, allowance=ALLOWANCE, warm_up=warm_up)

    def say(self, what: str, value: float, *, least: float | None = None, most: float | None = None) -> None:
        """One line: the ratio and whether it holds."""
        bound, holds = "", True
        if self.small:
            least = most = None
        if least is not None:
            bound, holds = f" (at least {least:g})", value >= least
        if most is not None:
            bound, holds = f" (at most {most:g})", value <= most
        verdict = "" if not bound else ": holds" if holds else ": DOES NOT HOLD"
        print(f"{what}: {value:.3g}{bound}{verdict}", flush=True)
        if not holds:
            self.failed.append(what)


def attention_case(form: str, grid: TokenGrid, heads: int = 2, top_k: int | None = None) -> Case:
    config = with_heads(with_form(CASCADE, form), heads, 128)
    if top_k is not None:
        config = replace(config, attention=AttentionConfig(kind="sparse_local", top_k=top_k))
    return Case(operation="attention", config=config, grid=grid)


def sparse(line: Line) -> None:
    """Against full attention, and against the machine."""
    for height, ratio, share in ((68, 70.0, 0.4), (72, None, 0.55)):
        grid = line.grid(5, height, 120)
        operations, meter = Operations(CPU, torch.float32), RateMeter(CPU, torch.float32)
        cases = {"sparse": attention_case("sparse", grid)}
        if ratio is not None:
            cases["full"] = attention_case("full", grid)
        timings = line.measure({**{name: operations.build(case) for name, case in cases.items()}, **meter.operations})
        for name in meter.operations:
            meter.update(name, timings[name].seconds)
        seconds, where = timings["sparse"].seconds, f"{grid.frames} x {grid.height} x {grid.width}, 2 heads of 128"
        if ratio is not None:
            line.say(f"full / sparse, {where}", timings["full"].seconds / seconds, least=ratio)
        line.say(f"limit / sparse, {where}", limit_seconds(cases["sparse"].cost(4), meter.rates) / seconds, least=share)


def memory(line: Line) -> None:
    """Peak of one call in a process of its own."""
    case = attention_case("sparse", line.grid(5, 68, 120))
    (peak,) = resident_peaks([case], torch.float32)
    if peak is None:
        print("extra peak memory: unknown on this system")
        return
    line.say("extra peak memory / one query tensor", peak / token_bytes(case.config, case.grid, "float32"), most=4.0)


def block(line: Line) -> None:
    """One block of 1.3B at 17 frames of 1080p."""
    operations, grid = Operations(CPU, torch.float32), line.grid(5, 68, 120)
    cases = {form: Case(operation="block", config=with_form(CASCADE, form), grid=grid) for form in ("full", "sparse")}
    timings = line.measure({form: operations.build(case) for form, case in cases.items()})
    counted = cases["full"].cost(4).executed / cases["sparse"].cost(4).executed
    print(f"block of 1.3B, full / sparse by count: {counted:.3g}")
    line.say("block of 1.3B, full / sparse", timings["full"].seconds / timings["sparse"].seconds, least=3.0)


def alternatives(line: Line) -> None:
    """Other ways to the same or a similar result; their preparation is not in their time, ours is."""
    operations = Operations(CPU, torch.float32)
    grid = line.grid(5, 72, 120)
    calls = {"sparse": operations.build(attention_case("sparse", grid))}
    calls["windows alone (Swin), 9 x 12"] = operations.build(attention_case("sparse", grid, top_k=0))
    try:
        flex = flex_attention_blocks(grid, 2, 128)
        with torch.inference_mode():
            flex()
        calls["FlexAttention with a block mask"] = flex
    except (RuntimeError, ValueError) as error:  # without a compiler, or with blocks it does not take
        print(f"FlexAttention with a block mask: does not run here: {' '.join(str(error).split())[:160]}")
    report(line, calls)
    # One head: PyTorch turns the mask into 7.5 GB of numbers for each.
    calls = {"sparse": operations.build(attention_case("sparse", grid, heads=1))}
    calls[f"dense mask, {grid.length:,} tokens"] = masked_attention(grid, 1, 128)
    report(line, calls)


def report(line: Line, calls: dict[str, Callable[[], object]]) -> None:
    timings = line.measure(calls)
    for name, timing in timings.items():
        if name != "sparse":
            line.say(f"{name} / sparse", timing.seconds / timings["sparse"].seconds)


def bfloat16(line: Line) -> None:
    """The explicit form that CPUs get, against the fused kernel on the same windows."""
    grid, case = line.grid(5, 68, 120), attention_case("sparse", line.grid(5, 68, 120))
    config = case.config
    q, k, v = torch.randn(3, 1, config.num_heads, grid.length, config.head_dim).bfloat16()

    def run(dense: DenseAttention) -> Tensor:
        return attend(q, k, v, grid=grid, layer=0, config=config.attention, dense=dense)

    # Any other operation than `full_attention` itself is called window by window.
    fused = partial(run, lambda q, k, v: functional.scaled_dot_product_attention(q, k, v))
    timings = line.measure({"explicit": partial(run, full_attention), "fused": fused})
    line.say(
        "bfloat16, fused kernel / explicit form", timings["fused"].seconds / timings["explicit"].seconds, least=1.0
    )


def growth(line: Line) -> None:
    """Time against frames at 1080p; 1 is linear, 2 is full attention."""
    operations, frames = Operations(CPU, torch.float32), (2, 4, 6) if line.small else (5, 20, 39)
    grids = [replace(line.grid(1, 68, 120), frames=t) for t in frames]
    calls = {str(grid.frames): operations.build(attention_case("sparse", grid, heads=1)) for grid in grids}
    timings = line.measure(calls)
    x = [math.log(grid.length) for grid in grids]
    y = [math.log(timings[str(grid.frames)].seconds) for grid in grids]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True)) / sum(
        (a - middle_x) ** 2 for a in x
    )
    line.say(f"log-log slope over {', '.join(map(str, frames))} latent frames", slope, most=1.1)


LINES = {
    "sparse": sparse,
    "memory": memory,
    "block": block,
    "alternatives": alternatives,
    "bfloat16": bfloat16,
    "growth": growth,
}


def use_allocator() -> None:
    """Starts the script again with the settings of memory that `run.py` gives to every command, unless they are set."""
    if not set(ALLOCATOR) <= set(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**ALLOCATOR, **os.environ})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", nargs="*", metavar="LINE", help=f"{', '.join(LINES)} (default: all)")
    parser.add_argument("--small", action="store_true", help="tiny sizes: shows that the script works, means nothing")
    arguments = parser.parse_args()
    if unknown := set(arguments.lines) - set(LINES):
        parser.error(f"no such line: {', '.join(sorted(unknown))}; there are {', '.join(LINES)}")
    line = Line(arguments.small)
    print(f"float32, {torch.get_num_threads()} threads, PyTorch {torch.__version__}")
    for name in arguments.lines or LINES:
        LINES[name](line)
    return 1 if line.failed else 0


if __name__ == "__main__":
    use_allocator()
    sys.exit(main())
