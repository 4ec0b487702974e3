"""The command `evaluate` of `python -m train`."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gvr_core.cascade import Cascade, nano_path
from gvr_core.video import VideoWriter, probe

from .document import fingerprint, make_document, write_document
from .external import add_external
from .finished import ORIGINAL, evaluate_results, read_clip
from .markdown import format_table
from .metric import Metric
from .plot import PLOT_SUFFIXES, plot_table
from .protocol import evaluate, write_sheet
from .registry import EXTERNALS, GROUPS, STANDARD, Tools, resolve_metrics, with_command
from .table import Table

Judged = tuple[Table, dict[str, Path], dict[str, Any]]
"""Table, row -> folder of its videos, settings for the JSON."""


def add_evaluate_command(commands: argparse._SubParsersAction) -> None:
    """Register the command."""
    command = commands.add_parser(
        "evaluate",
        help="the quality table of a cascade, or of finished videos",
        description="Without --results: every way from the low-resolution latent of CLIPS to high resolution. With "
        "--results: finished videos of any upscaler. train/evaluation/README.md says what each metric needs and means.",
    )
    command.add_argument("clips", type=Path, nargs="*", metavar="CLIP", help="clips that were not trained on")
    command.add_argument("--model", type=Path, default=nano_path(), help="a checkpoint with all parts (default: nano)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--metrics",
        default="standard",
        metavar="a,b",
        help=f"names or groups ({', '.join(GROUPS)}); also seam:8, seam:192x144/16, jump:20+17 (default: standard)",
    )
    command.add_argument("--reference", type=Path, nargs="+", default=[], metavar="PICTURE", help="ID pictures")
    command.add_argument("--reference-frame", type=int, metavar="N", help="frame N of each original is an ID picture")
    command.add_argument(
        "--baselines", action=argparse.BooleanOptionalAction, default=True, help="the rows to compare with"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    command.add_argument("--plot", type=Path, metavar="PNG", help="write a plot")
    command.add_argument("--pictures", type=Path, metavar="DIR", help="write a comparison sheet for each clip")
    command.add_argument("--videos", type=Path, metavar="DIR", help="write the videos of each row")
    command.add_argument(
        "--results", nargs="+", metavar="[NAME=]DIR", help="folders of finished videos instead of clips, one per row"
    )
    command.add_argument("--originals", type=Path, metavar="DIR", help="the true videos of --results, by name")
    command.add_argument("--inputs", type=Path, metavar="DIR", help="the low-resolution videos of --results, by name")
    command.add_argument("--frames", type=int, default=0, metavar="N", help="only the first N frames of --results")
    command.add_argument("--clip", type=Path, metavar="DIR", help="a CLIP model of transformers, for clip_i")
    command.add_argument("--dino", type=Path, metavar="DIR", help="a DINO model of transformers, for dino_i")
    command.add_argument(
        "--picture-frames", type=int, default=10, metavar="N", help="frames that picture metrics judge, 0 = all"
    )
    command.add_argument(
        "--external",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="dover, vbench: a command with {videos} and {output}; else from GVR_DOVER, GVR_VBENCH",
    )
    command.set_defaults(run=run_evaluate)


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Measure, write what was asked for, and print the table."""
    tools = Tools(clip=arguments.clip, dino=arguments.dino, picture_frames=arguments.picture_frames)
    wanted = [name.strip() for name in arguments.metrics.split(",") if name.strip()]
    commands = _named(arguments.external, "--external", dict.fromkeys(external.name for external in EXTERNALS))
    metrics, externals = resolve_metrics([*wanted, *commands], tools)
    externals = [with_command(e, commands.get(e.name) or os.environ.get(e.variable)) for e in externals]
    references = [read_clip(path, 1)[0] for path in arguments.reference]
    if arguments.plot and arguments.plot.suffix.lower() not in PLOT_SUFFIXES:
        raise ValueError(f"cannot plot to {arguments.plot.name}: give a name ending in {', '.join(PLOT_SUFFIXES)}")
    with tempfile.TemporaryDirectory() as temporary:
        videos = arguments.videos or (Path(temporary) if any(e.command for e in externals) else None)
        if arguments.results:
            table, folders, settings = _judge_results(arguments, metrics, references)
        else:
            # What needs no original says little without the original's own figure beside it.
            beyond = bool(externals) or any(metric.column.name not in STANDARD for metric in metrics)
            with_original = arguments.baselines and beyond
            table, folders, settings = _judge_cascade(arguments, metrics, references, videos, with_original)
        add_external(table, externals, folders)
    settings |= {
        "metrics": [column.name for column in table.columns],
        "references": [str(path) for path in arguments.reference],
        "picture_frames": tools.picture_frames,
        "clip": tools.clip and str(tools.clip),
        "dino": tools.dino and str(tools.dino),
        "external": {external.name: external.command for external in externals},
        "baselines": arguments.baselines,
    }
    print(format_table(table))
    if arguments.json:
        write_document(arguments.json, make_document(table, settings))
    if arguments.plot:
        plot_table(table, arguments.plot)


def _judge_cascade(
    arguments: argparse.Namespace,
    metrics: Sequence[Metric],
    references: Sequence[np.ndarray],
    videos: Path | None,
    with_original: bool,
) -> Judged:
    if not arguments.clips:
        raise ValueError("there is nothing to evaluate: give clips, or --results DIR")
    if arguments.originals or arguments.inputs or arguments.frames:
        raise ValueError("--originals, --inputs and --frames belong to --results: the protocol cuts its clips itself")
    folders: dict[str, Path] = {}
    with tqdm(total=len(arguments.clips), desc="evaluate", unit="clip", disable=None) as bar:

        def on_clip(path: Path, clips: dict[str, np.ndarray]) -> None:
            if arguments.pictures:
                write_sheet(arguments.pictures / f"{path.stem}.png", clips)
            for row, clip in clips.items() if videos else ():
                folders[row] = videos / re.sub(r"\W+", "_", row).strip("_")
                folders[row].mkdir(parents=True, exist_ok=True)
                height, width = clip.shape[1:3]
                fps = probe(path).fps
                with VideoWriter(folders[row] / f"{path.stem}.mp4", width=width, height=height, fps=fps, crf=4) as out:
                    out.write(clip)
            bar.update()

        table = evaluate(
            Cascade.load(arguments.model),
            arguments.clips,
            seed=arguments.seed,
            metrics=metrics,
            references=references,
            reference_frame=arguments.reference_frame,
            baselines=arguments.baselines,
            with_original=with_original,
            on_clip=on_clip,
        )
    settings = {
        "protocol": "latent",
        "model": arguments.model.name,
        "model_sha256": fingerprint(arguments.model),
        "seed": arguments.seed,
        "clips": [path.name for path in arguments.clips],
        "reference_frame": arguments.reference_frame,
    }
    return table, folders, settings


def _judge_results(
    arguments: argparse.Namespace,
    metrics: Sequence[Metric],
    references: Sequence[np.ndarray],
) -> Judged:
    if arguments.clips:
        raise ValueError(f"both clips and --results were given (is {arguments.clips[0]} a clip?): choose one of them")
    if arguments.pictures or arguments.videos or arguments.reference_frame is not None:
        raise ValueError("--pictures, --videos and --reference-frame belong to the evaluation of a cascade on clips")
    entries = [entry if "=" in entry else f"{Path(entry).resolve().name}={entry}" for entry in arguments.results]
    folders = {row: Path(folder) for row, folder in _named(entries, "--results").items()}
    with tqdm(desc="evaluate", unit="clip", disable=None) as bar:
        table = evaluate_results(
            folders,
            metrics=metrics,
            originals=arguments.originals,
            inputs=arguments.inputs,
            references=references,
            frames=arguments.frames,
            baselines=arguments.baselines,
            advance=bar.update,
        )
    settings = {
        "protocol": "results",
        "results": {row: str(folder) for row, folder in folders.items()},
        "originals": arguments.originals and str(arguments.originals),
        "inputs": arguments.inputs and str(arguments.inputs),
        "frames": arguments.frames,
    }
    if arguments.originals:
        folders[ORIGINAL] = arguments.originals
    return table, folders, settings


def _named(entries: Sequence[str], option: str, known: Iterable[str] | None = None) -> dict[str, str]:
    """`name=value` entries; a name that is missing, unknown or given twice is an error."""
    named: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not (name and equals and value):
            raise ValueError(f"{option} is {entry!r}, expected NAME=VALUE")
        if known is not None and name not in known:
            raise ValueError(f"{option} names {name!r}, expected {' or '.join(known)}")
        if name in named:
            raise ValueError(f"{option} has {name} twice: give each a name of its own, NAME=VALUE")
        named[name] = value
    return named
