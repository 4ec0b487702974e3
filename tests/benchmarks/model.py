"""What a whole run must hold on a GPU, as ratios: `python tests/benchmarks/model.py`.

The real 1.3B shape with random weights in bfloat16 at 77 frames of 1080p and one reference picture, eager and through
torch.compile. The bars: 125 evaluations, a 50-step run with all guidance terms, within 150 s and 24 GB; each evaluation
counts as one that sees the reference, though those of the null reference do not. The table for the docs is
`python -m gvr_core bench --dtype bfloat16 --references 1 --n-ref 25 --budget 240 --compile --plot bench.png`.
"""

# ruff: noqa: T201 - it prints its result
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT] + [str(ROOT)]

from gvr_core.bench.benchmark import Benchmark  # noqa: E402 - the root is on the path only now
from gvr_core.bench.estimate import FORMS  # noqa: E402
from gvr_core.bench.results import Section, make_sections  # noqa: E402
from gvr_core.bench.sizes import Size, model_config  # noqa: E402

EVALUATIONS, SECONDS, GIGABYTES = 125, 150.0, 24.0


def say(name: str, section: Section) -> bool:
    """Print the section's ratios; returns whether sparse local attention holds both bars."""
    for form in FORMS:
        row = section.rows[form]
        if row.seconds.value is None:
            print(f"{name}, {form}: out of memory")
            continue
        mark = "" if row.seconds.measured else "~"
        memory = "unknown" if row.extra_bytes.value is None else f"{row.extra_bytes.value / 1e9 / GIGABYTES:.3g}"
        ratio = section.ratio(form).value
        print(
            f"{name}, {form}: {mark}{EVALUATIONS * row.seconds.value / SECONDS:.3g} of the time allowed, "
            f"{memory} of the memory, {'unknown' if ratio is None else f'{ratio:.3g}'} times as fast as full"
        )
    row = section.rows["sparse"]
    fits = row.extra_bytes.value is not None and row.extra_bytes.value <= GIGABYTES * 1e9
    return fits and row.seconds.measured and EVALUATIONS * row.seconds.value <= SECONDS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=240.0, help="seconds for the runs (default 240)")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device here: nothing was measured")
        return 0
    size = Size(config=model_config("1.3b"), frames=77, height=1080, width=1920, references=1)
    benchmark = Benchmark(size, torch.device("cuda"), torch.bfloat16, budget=arguments.budget)
    findings = benchmark.run()
    print(f"{findings.machine['device']}, bfloat16, PyTorch {torch.__version__}")
    holds = say("eager", make_sections(findings)["model"])
    try:
        say("compiled", make_sections(benchmark.compiled_again(findings))["model"])
    except RuntimeError as error:  # without a compiler
        print(f"compiled: does not run here: {' '.join(str(error).split())[:160]}")
    print("sparse within the bars: " + ("holds" if holds else "DOES NOT HOLD"))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
