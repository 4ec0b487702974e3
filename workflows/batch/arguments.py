"""The command line."""

from __future__ import annotations

import argparse
from pathlib import Path

INSTALL = "pip install websocket-client tqdm"

DESCRIPTION = f"""\
Queues a workflow for many inputs and seeds on one or several ComfyUI servers, and brings the results home.

  python queue_batch.py upscale.json --inputs clips
  python queue_batch.py upscale.json --inputs "clips/*.mp4" --seeds 1,2,3 --set "Multi-CFG Sampler.steps=4"
  python queue_batch.py upscale.json --inputs clips --server 127.0.0.1:8188 --server 192.168.1.20:8188

The workflow must be in API format: in ComfyUI, Workflow > Export (API). Needs websocket-client, and tqdm for progress
bars: {INSTALL}
"""

EPILOG = """\
Results are in the output folder as INPUT_seedSEED.ext (numbered when a job saves several files), beside manifest.json,
which tells for every job its state, server, times, files and error. The same command again does what is left: results
that are there are kept, jobs still on a server are looked for there, failed ones need --retry-failed. Another --set,
other inputs or seeds are other jobs.

Each server has --depth jobs at a time, so that a fast one does more. A server may be restarted: jobs it lost are queued
again, but not one that was running three times when that happened. Jobs of a server that stays away for --timeout go to
the others. One that accepts none of its first three jobs (a model or a node pack is missing) is left out.

Ctrl-C stops; what is on the servers goes on there and is fetched next time, unless --cancel-on-interrupt.

exit code: 0 all done, 1 some failed or were left when no server answered, 2 wrong arguments, 130 stopped
"""


def parser() -> argparse.ArgumentParser:
    """Names, help and defaults of all arguments."""
    parser = argparse.ArgumentParser(
        prog="queue_batch.py",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("workflow", type=Path, metavar="WORKFLOW.json", help="a workflow in API format")
    add(
        "--inputs",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="files, folders, or quoted patterns such as 'clips/**/*.mp4'; one job for each file",
    )
    add(
        "--input-node",
        metavar="NODE.input",
        help="where the file goes, if there is not just one Load Video, Load Image, VHS Load Video or Load Latent",
    )
    add(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="NODE.input=value",
        help="changes an input; NODE is an id, a title or a class that occurs once, value JSON or a text; repeatable",
    )
    add("--seeds", type=seeds, default=[], metavar="1,2,3", help="one job for each seed (and file)")
    add(
        "--seed-node",
        action="append",
        default=[],
        metavar="NODE[.input]",
        help="where the seed goes; without it into every seed and noise_seed that is not connected; repeatable",
    )
    add(
        "--server",
        action="append",
        dest="servers",
        metavar="URL",
        help="a ComfyUI server (127.0.0.1:8188), also as https://name:password@host; repeatable",
    )
    add("--output", type=Path, default=Path("batch"), metavar="DIR", help="folder for results and manifest (batch)")
    add("--depth", type=positive(int), default=2, metavar="N", help="jobs a server has at a time (2)")
    add(
        "--timeout",
        type=positive(float),
        default=300.0,
        metavar="SECONDS",
        help="how long a server may be away before its jobs go to others (300)",
    )
    add("--retry-failed", action="store_true", help="also do jobs again that failed in an earlier run")
    add("--cancel-on-interrupt", action="store_true", help="on Ctrl-C also stop the own jobs on the servers")
    add("--quiet", action="store_true", help="tell failures only")
    return parser


def seeds(text: str) -> list[int]:
    """`1,2,3`, each once."""
    try:
        values = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = []
    if not values or any(not 0 <= value < 2**64 for value in values):
        raise argparse.ArgumentTypeError(f"{text!r} are no seeds: expected whole numbers from 0 on, as in 1,2,3")
    return list(dict.fromkeys(values))


def positive(kind: type[int] | type[float]) -> type:
    """A converter that refuses numbers that are not above 0."""

    def convert(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
        return value

    return convert
