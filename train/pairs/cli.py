"""The commands `prepare`, `degrade` and `encode` of `python -m train`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from tqdm import tqdm

from .config import PairsConfig, load_pairs_config
from .degrade import DegradeShard, plan_degrade
from .encode import EncodeShard, plan_encode
from .engines import ENGINES, Work, part_of_run, run_shards
from .parquet_index import write_index
from .prepare import DAMAGED, KEPT, PrepareShard, plan_prepare
from .report import write_report
from .stage import Stage
from .storage import StorageError

Plan = Callable[[PairsConfig], tuple[Stage, Work, Callable[[int], int]]]
"""Config -> stage, what makes a shard, and the length of a shard in clips or samples."""


def add_pair_commands(commands: argparse._SubParsersAction) -> None:
    """Register the three commands."""
    for name, plan, about in (
        ("prepare", _prepare, "clips -> filtered samples in tar shards"),
        ("degrade", _degrade, "samples -> degraded low-resolution variants"),
        ("encode", _encode, "samples and variants -> latents and text embeddings"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("--config", default="pairs_nano", help="a preset of train/presets or a .yaml file")
        command.add_argument(
            "--shard",
            metavar="i/n",
            help="make every n-th shard from the i-th on, i from 0 (default: from Slurm's or torchrun's variables)",
        )
        command.add_argument("--workers", type=int, default=1, help="processes, one thread each")
        command.add_argument("--engine", choices=ENGINES, default="local", help="ray needs: pip install 'ray[data]'")
        command.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. root=DIR output=DIR cut.most=4")
        command.set_defaults(run=lambda arguments, plan=plan: run(arguments, plan))


def _prepare(config: PairsConfig) -> tuple[Stage, Work, Callable[[int], int]]:
    stage, clips = plan_prepare(config)
    return (
        stage,
        PrepareShard(config, stage, clips),
        lambda s: len(clips[s * config.clips_per_shard : (s + 1) * config.clips_per_shard]),
    )


def _degrade(config: PairsConfig) -> tuple[Stage, Work, Callable[[int], int]]:
    stage, source = plan_degrade(config)
    return stage, DegradeShard(config, stage, source), lambda s: len(source.read_manifest(s)["samples"])


def _encode(config: PairsConfig) -> tuple[Stage, Work, Callable[[int], int]]:
    stage, clips, degraded = plan_encode(config)
    work = EncodeShard(config.encode, stage, clips, degraded)
    return stage, work, lambda s: len(degraded.read_manifest(s)["samples"])


def run(arguments: argparse.Namespace, plan: Plan) -> None:
    """Make this job's shards, and the index and the report if they are the last."""
    config = load_pairs_config(arguments.config, arguments.overrides)
    part, parts = part_of_run(arguments.shard, os.environ)
    stage, work, length = plan(config)
    mine = range(part, stage.shards, parts)
    # A look at 840,000 clips takes long: workers do it, see PrepareShard. A look at samples is one at their manifest.
    looks_at_clips = arguments.command == "prepare"
    missing = [shard for shard in mine if not stage.is_done(shard, None if looks_at_clips else work.inputs)]
    if not looks_at_clips:
        _tell_made_again(sum(stage.is_done(shard) for shard in missing))
    there = sorted({*mine} - {*missing})
    if there:
        rest = "; their clips are looked at for changes" if looks_at_clips else ""
        print(f"{len(there)} of {len(mine)} shards are there already, {len(missing)} to make{rest}")
    before, unit = [stage.versions([shard]) for shard in there], "clip" if looks_at_clips else "sample"
    shards = list(mine) if looks_at_clips else missing
    total = sum(length(shard) for shard in shards)
    with tqdm(total=total, desc=arguments.command, unit=unit, disable=not shards) as bar:
        run_shards(work, shards, engine=arguments.engine, workers=arguments.workers, advance=bar.update)
    if looks_at_clips:
        _tell_made_again(sum(stage.versions([shard]) != old for shard, old in zip(there, before, strict=True)))
    # Every job looks at all shards at its end: at their samples, not at the clips again.
    finish(stage, None if looks_at_clips else work.inputs)


def _tell_made_again(count: int) -> None:
    if count:
        print(f"{count} shards are made again: what they were made from has changed")


def finish(stage: Stage, inputs: Callable[[int], str] | None = None) -> None:
    """Index and report when every shard is there, whoever made it; a line about what is missing otherwise.

    Jobs that end together all write both, from the same shards. If another job makes a shard anew meanwhile, they are
    written again, so that whoever renames last leaves what belongs to the shards.

    Args:
        stage: whose shards these are.
        inputs: tells what a shard would be made from now; None to take shards that are there as they are.
    """
    while True:
        # All jobs of an array but the last one end here: they open no manifest.
        left = sum(not stage.is_there(shard) for shard in range(stage.shards))
        left = left or sum(not stage.is_done(shard, inputs) for shard in range(stage.shards))
        if left:
            print(f"{stage.folder}: {stage.shards - left} of {stage.shards} shards; the index follows with the last")
            return
        before = stage.versions()
        try:
            samples = write_index(stage)
            write_report(stage)
            items = [item for shard in range(stage.shards) for item in stage.read_manifest(shard)["items"]]
        except StorageError:
            raise
        except ValueError:  # a shard between its tar and its manifest
            if stage.versions() == before:
                raise
        if stage.versions() == before:
            break
    damaged = [item for item in items if item["status"] == DAMAGED]
    for item in damaged[:20]:
        print(f"damaged, left out: {item['clip']}: {item['reason']}")
    if len(damaged) > 20:
        print(f"... and {len(damaged) - 20} more damaged clips, named in the report")
    if stage.settings["command"] == "prepare":
        kept = sum(item["status"] == KEPT for item in items)
        print(f"{kept} of {len(items)} clips kept, {len(items) - kept - len(damaged)} dropped, {len(damaged)} damaged")
        silent = sum(item.get("has_caption") is False for item in items)
        if silent:
            print(f"{silent} of the {kept} kept clips are without caption: they train the model without a prompt")
    print(f"{samples} samples in {stage.shards} shards: {stage.index}, {stage.report}")
