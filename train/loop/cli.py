"""The command `fit`."""

from __future__ import annotations

import argparse
import logging
import os

import torch

from ..dry_run import dry_run
from ..fit_config import load_fit_config
from .training import RESUME, fit


def add_fit_command(commands: argparse._SubParsersAction) -> None:
    """Register the command."""
    command = commands.add_parser("fit", help="train a part, on one process or on many (train/README.md)")
    command.add_argument("--config", required=True, help="a preset of train/presets or a .yaml file")
    command.add_argument(
        "--resume",
        choices=RESUME,
        help="latest: go on from the newest checkpoint in the output; auto: or begin, where there is none",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="say what the run would be, try one group, save nothing"
    )
    command.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. output=DIR steps=500 data.crop=96")
    command.set_defaults(run=run_fit)


def run_fit(arguments: argparse.Namespace) -> None:
    """Train, and say where the last checkpoint is."""
    is_main = int(os.environ.get("RANK", "0")) == 0
    if not is_main:
        logging.getLogger("gvr").setLevel(logging.WARNING)
    config = load_fit_config(arguments.config, arguments.overrides)
    done = dry_run(config) if arguments.dry_run else str(fit(config, resume=arguments.resume))
    if is_main:
        print(done)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
