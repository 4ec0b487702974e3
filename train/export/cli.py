"""The command `export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .cascade_file import DTYPES, export


def add_export_command(commands: argparse._SubParsersAction) -> None:
    """Register the command."""
    command = commands.add_parser("export", help="write a run as a safetensors checkpoint")
    command.add_argument("run_dir", type=Path, metavar="RUN", help="output directory of a fit")
    command.add_argument("out", type=Path, metavar="OUT.safetensors")
    command.add_argument("--dtype", choices=list(DTYPES), default="bfloat16")
    command.add_argument(
        "--ema",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="the averaged weights or the last ones (default: averaged where the run has them)",
    )
    command.add_argument(
        "--include",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="add its other parts (nano: the bundled)",
    )
    command.add_argument(
        "--inference", type=Path, metavar="FILE.yaml", help="settings that differ from those the training suggests"
    )
    adapters = command.add_mutually_exclusive_group()
    adapters.add_argument("--lora", action="store_true", help="the adapters alone, as a LoRA for ComfyUI")
    adapters.add_argument("--base", action="store_true", help="the cascade that this LoRA is loaded on")
    command.set_defaults(run=run_export)


def run_export(arguments: argparse.Namespace) -> None:
    """Write the file and say what is in it."""
    what = {"dtype": arguments.dtype, "ema": arguments.ema}
    if arguments.lora or arguments.base:
        from .lora_files import export_base, export_lora

        if arguments.include:
            raise ValueError("--include adds parts to a whole cascade: leave it out with --lora and --base")
        if arguments.lora:
            number = export_lora(arguments.run_dir, arguments.out, **what)
            print(f"{arguments.out}: {number} tensors, to be loaded on the file of --base or on the run's init_from")
            return
        header = export_base(arguments.run_dir, arguments.out, inference=arguments.inference, **what)
    else:
        header = export(
            arguments.run_dir, arguments.out, include=arguments.include, inference=arguments.inference, **what
        )
    print(f"{arguments.out}: {', '.join(header.parts)} in latent space {header.space}")
