"""Arguments and exit codes: 0, 2 with one `error: ...` line for what the user can mend, 130 for Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from pathlib import Path
from typing import NoReturn

from .bench import add_bench_arguments, run_bench
from .degrade import add_degrade_arguments, run_degrade
from .demo import add_demo_arguments, run_demo
from .info import run_info
from .upscale import add_upscale_arguments, run_upscale


class Parser(argparse.ArgumentParser):
    """Reports its errors as every other one is reported."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    root = Parser(prog="python -m gvr_core", description="Video super-resolution in latent space.")
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

    command = commands.add_parser("bench", help="what attention costs on this machine, and how long a run takes")
    add_bench_arguments(command)
    command.set_defaults(run=run_bench)

    command = commands.add_parser("degrade", help="make a training input: a clip as a generator would have spoilt it")
    add_degrade_arguments(command)
    command.set_defaults(run=run_degrade)
    return root


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        arguments = parser().parse_args(argv)
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        return _report(str(error))
    except (MemoryError, RuntimeError) as error:
        # torch has no error of its own for the CPU's memory, and CUDA's is a RuntimeError.
        if isinstance(error, RuntimeError) and not re.search("out of memory|not enough memory|t allocate", str(error)):
            raise
        return _report("not enough memory: use a smaller scale, a shorter or smaller clip, or another --device")
    except KeyboardInterrupt:
        print("interrupted: nothing half-written is left", file=sys.stderr)
        return 130
    return 0


def _report(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return 2
