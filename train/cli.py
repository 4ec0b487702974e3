"""The command line of training. Exit 0; 2 with one `error: ...` line for what the user can mend; 130 for Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from .curves import plot_curves
from .detail_table.cli import add_profile_command
from .doctor import examine
from .evaluation.cli import add_evaluate_command
from .export.cli import add_export_command
from .loop.cli import add_fit_command
from .pairs.cli import add_pair_commands


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="python -m train", description="Train cascades: data pairs, fit, export, evaluate."
    )
    commands = root.add_subparsers(dest="command", required=True)

    add_fit_command(commands)

    command = commands.add_parser("curves", help="plot the logs of runs")
    command.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    command.add_argument("--out", type=Path, default=Path("curves.png"), metavar="PNG")
    command.set_defaults(run=lambda arguments: plot_curves(arguments.runs, arguments.out))

    command = commands.add_parser("doctor", help="versions, devices, optional packages and weights of this machine")
    command.set_defaults(run=lambda arguments: print(examine()))

    add_export_command(commands)
    add_profile_command(commands)
    add_evaluate_command(commands)
    add_pair_commands(commands)
    return root


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
