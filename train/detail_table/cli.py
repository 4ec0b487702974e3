"""The command `profile-timesteps`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from tqdm import tqdm

from gvr_core.cascade import Cascade, nano_path
from gvr_core.checkpoints import Header, load_part
from gvr_core.schedules import DetailTable
from gvr_core.whole_files import written_whole

from ..export.cascade_file import DETAIL_TABLE, attach_detail_table, load_run, make_run
from ..export.inference import inference_of
from ..lora import merge_adapters
from ..tasks.cascade_sources import checkpoint_path
from .measure import MEASURES, ProfileSettings, measure_detail, warn_of_gaps
from .plot import plot_table
from .samples import videos


def add_profile_command(commands: argparse._SubParsersAction) -> None:
    """Register the command."""
    command = commands.add_parser(
        "profile-timesteps", help="measure at which noise levels a cascade gains detail: the table of S 4.3"
    )
    command.add_argument("model", help="a checkpoint, the output directory of a fit, or nano")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="clips, or a folder of `train encode`")
    command.add_argument("--out", type=Path, metavar="JSON", help="default: detail_table.json, in RUN if it is one")
    command.add_argument("--plot", type=Path, metavar="PNG", help="draw the table")
    command.add_argument("--attach", action="store_true", help="put the table into the checkpoint's header")
    command.add_argument("--videos", type=int, default=200, metavar="N", help="low-resolution videos (default: 200)")
    command.add_argument("--steps", type=int, default=50, help="of each run, and bins of the table (default: 50)")
    command.add_argument("--cutoff", type=float, default=0.5, help="lowest frequency that is detail (default: 0.5)")
    command.add_argument("--measure", choices=MEASURES, default="energy", help="reading of the paper's differences")
    command.add_argument("--floor", type=float, default=0.0, metavar="SHARE", help="spread evenly (default: 0)")
    command.add_argument("--noise-aug", type=float, metavar="TAU", help="default: the checkpoint's")
    command.add_argument("--short-side", type=int, default=512, metavar="PIXELS", help="of the large video of a clip")
    command.add_argument("--frames", type=int, default=17, help="of a clip, 4n+1 (default: 17)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", default="", help="default: cuda where there is one")
    command.set_defaults(run=run_profile)


def run_profile(arguments: argparse.Namespace) -> None:
    """Measure, write, draw, attach."""
    settings = ProfileSettings(
        steps=arguments.steps,
        cutoff=arguments.cutoff,
        measure=arguments.measure,
        floor=arguments.floor,
        seed=arguments.seed,
    )
    path = nano_path() if arguments.model == "nano" else Path(arguments.model)
    if arguments.attach and path.is_dir():
        raise ValueError(f"{path} is a run, which has no header: leave --attach out, the export takes the table along")
    if arguments.videos < 1:
        raise ValueError(f"--videos is {arguments.videos}, expected at least 1")
    cascade = load_cascade(path, arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    noise_aug = cascade.header.inference.noise_aug if arguments.noise_aug is None else arguments.noise_aug
    size = {"short_side": arguments.short_side, "frames": arguments.frames}
    samples = videos(cascade, arguments.data, count=arguments.videos, noise_aug=noise_aug, **size)
    each: list[list[float]] = []
    table: DetailTable | None = None
    with tqdm(samples, total=arguments.videos, desc="profile-timesteps", unit="video") as bar:
        for shares, current in measure_detail(cascade.dit, bar, settings):
            each.append(shares)
            table = current
    if table is None:
        raise ValueError(f"no video in {arguments.data}")
    warn_of_gaps(table)
    out = arguments.out or (path / DETAIL_TABLE if path.is_dir() else Path(DETAIL_TABLE))
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(out) as temporary:
        temporary.write_text(json.dumps(table.to_dict()), encoding="utf-8")
    print(f"{out}: {len(each)} videos, {summary(table)}")
    if arguments.plot:
        title = f"{path.stem}: {len(each)} videos, {settings.measure}, cutoff {settings.cutoff:g}, tau {noise_aug:g}"
        plot_table(table, each, arguments.plot, title=title)
        print(arguments.plot)
    if arguments.attach:
        attach_detail_table(path, table)
        print(f"{path}: has the table now")


def load_cascade(path: Path, device: str) -> Cascade:
    """A checkpoint, or a run with its newest weights."""
    if not path.is_dir():
        return Cascade.load(path, device=device)
    config, task = make_run(path)
    if config.task != "cascade":
        raise ValueError(f"{path} is a run of task {config.task}, expected cascade: detail is what a cascade adds")
    load_run(path, config, task, ema=None)
    if config.trainable == "lora":
        merge_adapters(task.model)
    configs, modules = task.part_configs(), dict(task.modules())
    for part in ("upsampler", "vae"):  # frozen ones lie in other files
        file = config.objective.get(part, "")
        if file and part not in modules:
            modules[part] = load_part(checkpoint_path(file), part)
    header = Header(space=configs["dit"]["space"], parts=configs, inference=inference_of(config))
    modules = {part: module.to(device) for part, module in modules.items()}
    return Cascade(header, modules["dit"], modules.get("upsampler"), modules.get("vae"))


def summary(table: DetailTable) -> str:
    """Where the detail is gained, in a line."""
    places = [(1.0, 0.7), (0.7, 0.3), (0.3, 0.0)]
    shares = [100 * (table.gain_above(low) - table.gain_above(high)) for high, low in places]
    parts = (f"{s:.0f} % from sigma {a:g} to {b:g}" for s, (a, b) in zip(shares, places, strict=True))
    return f"detail gained {', '.join(parts)}"
