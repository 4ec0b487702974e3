"""Arguments and exit codes: 0, 2 with one `error: ...` line for what the user can mend, 130 for Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from .demo import add_demo_arguments, run_demo
from .info import run_info
from .upscale import add_upscale_arguments, run_upscale


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m gvr_core", description="Video super-resolution in latent space.")
    commands = root.add_subparsers(dest="command", required=True)

    command = commands.add_parser("upscale", help="enlarge a video, a folder of pictures or a latent")
    add_upscale_arguments(command)
    command.set_defaults(run=run_upscale)

    command = commands.add_parser("info", help="what is in a checkpoint, a latent or a video")
    command.add_argument("file", type=Path, metavar="FILE")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(run=run_info)

    command = commands.add_parser("demo", help="upscale a clip with the embedded default and show the result")
    add_demo_arguments(command)
    command.set_defaults(run=run_demo)
    return root


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except ValueError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted, nothing was written", file=sys.stderr)
        return 130
    return 0
