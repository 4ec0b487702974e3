"""The command line of training. Exit 0; 2 with one `error: ...` line for what the user can mend; 130 for Ctrl-C."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

import numpy as np
import yaml

from gvr_core.cascade import Cascade, nano_path

from .config import load_fit_config
from .curves import plot_curves
from .evaluate import evaluate, format_table, write_sheet
from .export import DTYPES, export
from .loop import fit
from .pairs.cli import add_pair_commands


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="python -m train", description="Train cascades: data pairs, fit, export, evaluate."
    )
    commands = root.add_subparsers(dest="command", required=True)

    command = commands.add_parser("fit", help="train one part")
    command.add_argument("--config", required=True, help="a preset of train/presets or a .yaml file")
    command.add_argument("--resume", choices=["latest"], help="go on from the newest checkpoint in the output")
    command.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. output=DIR steps=500 data.crop=96")
    command.set_defaults(run=run_fit)

    command = commands.add_parser("export", help="write a run as a safetensors checkpoint")
    command.add_argument("run_dir", type=Path, metavar="RUN", help="output directory of a fit")
    command.add_argument("out", type=Path, metavar="OUT.safetensors")
    command.add_argument("--dtype", choices=list(DTYPES), default="bfloat16")
    command.add_argument("--no-ema", action="store_true", help="the last weights instead of their average")
    command.add_argument(
        "--include", type=Path, action="append", default=[], metavar="FILE", help="add its other parts"
    )
    command.add_argument("--inference", type=Path, metavar="FILE.yaml", help="default settings of a cascade")
    command.set_defaults(run=run_export)

    command = commands.add_parser("evaluate", help="the quality table of a cascade on clips")
    command.add_argument("clips", type=Path, nargs="+", help="clips that were not trained on")
    command.add_argument("--model", type=Path, default=nano_path(), help="a checkpoint with all parts (default: nano)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--json", type=Path, metavar="FILE", help="write the table as JSON too")
    command.add_argument("--pictures", type=Path, metavar="DIR", help="write a comparison sheet for each clip")
    command.set_defaults(run=run_evaluate)

    command = commands.add_parser("curves", help="plot the logs of runs")
    command.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    command.add_argument("--out", type=Path, default=Path("curves.png"), metavar="PNG")
    command.set_defaults(run=lambda arguments: plot_curves(arguments.runs, arguments.out))

    add_pair_commands(commands)
    return root


def run_fit(arguments: argparse.Namespace) -> None:
    config = load_fit_config(arguments.config, arguments.overrides)
    print(fit(config, resume=arguments.resume is not None))


def run_export(arguments: argparse.Namespace) -> None:
    inference = yaml.safe_load(arguments.inference.read_text(encoding="utf-8")) if arguments.inference else None
    header = export(
        arguments.run_dir,
        arguments.out,
        dtype=arguments.dtype,
        ema=not arguments.no_ema,
        include=arguments.include,
        inference=inference,
    )
    print(f"{arguments.out}: {', '.join(header.parts)} in latent space {header.space}")


def run_evaluate(arguments: argparse.Namespace) -> None:
    def on_clip(path: Path, clips: dict[str, np.ndarray]) -> None:
        if arguments.pictures:
            write_sheet(arguments.pictures / f"{path.stem}.png", clips)

    table = evaluate(Cascade.load(arguments.model), arguments.clips, seed=arguments.seed, on_clip=on_clip)
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1), encoding="utf-8")
    print(format_table(table))


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0
