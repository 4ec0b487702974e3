"""One command from a fresh checkout: makes `.venv`, installs what the command needs, runs it. Standard library only.

Written so that old Pythons (3.8 and up) can still read it, and say in words which Python is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SUITABLE = ((3, 12), (3, 11), (3, 10))  # the first one found is taken
CONSTRAINTS = "constraints.txt"
NEEDS = {
    "test": ("requirements.txt", "requirements-dev.txt", "train/requirements.txt"),
    "train": ("requirements.txt", "train/requirements.txt"),
}
NEEDS_OTHERWISE = ("requirements.txt",)
INDEX_VARIABLE = "GVR_TORCH_INDEX"
RUNTIME_IMPORTS = "torch, einops, safetensors, numpy, cv2, av, tqdm"
GRACE_SECONDS = 30
# For glibc, ignored elsewhere: blocks of up to 64 MB are used again instead of going back to the system each time.
# Mapping fresh memory page by page took a tenth of the demo's time; the price is a few hundred MB.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(2**26), "MALLOC_TRIM_THRESHOLD_": str(2**26)}

HELP = f"""\
usage: python run.py [--torch-index URL] COMMAND [ARGUMENTS ...]

  python run.py demo [CLIP] ...   upscale a clip with the embedded nano model
  python run.py test ...          run the tests; arguments go to pytest
  python run.py train ...         python -m train ...
  python run.py COMMAND ...       python -m gvr_core COMMAND ..., such as upscale; COMMAND --help tells its options

The first run makes .venv beside run.py and installs the versions of constraints.txt into it with pip, PyTorch
included; later runs start at once, and install again only when those files or the Python have changed. It needs
Python 3.10, 3.11 or 3.12. To start afresh, delete .venv.

  --torch-index URL   where PyTorch comes from when .venv is first made; the variable {INDEX_VARIABLE} does the same.
                      Without it that is PyPI: on Linux a CUDA build of several GB, elsewhere a CPU (Windows) or
                      Metal (macOS) build. A small CPU build: https://download.pytorch.org/whl/cpu
                      For other CUDA versions and for Windows see https://pytorch.org/get-started/locally/
"""


class SetupError(Exception):
    """Something the person at the keyboard can mend; the text says how."""


def split_arguments(argv: list[str]) -> tuple[str | None, list[str]]:
    """The value of `--torch-index`, wherever it stands, and all other arguments in their order."""
    index, rest = os.environ.get(INDEX_VARIABLE) or None, []
    waiting = iter(argv)
    for argument in waiting:
        if argument == "--":
            return index, [*rest, argument, *waiting]
        if argument == "--torch-index":
            index = next(waiting, "")
        elif argument.startswith("--torch-index="):
            index = argument.partition("=")[2]
        else:
            rest.append(argument)
        if index == "":
            raise SetupError("--torch-index came without an address: give one, as in --torch-index https://...")
    return index, rest


def say(text: str) -> None:
    """Our own lines go to stderr, so that a command's output can be piped."""
    print(f"run.py: {text}", file=sys.stderr, flush=True)


def call(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> int:
    """Exit code of the command, 128 + number when a signal ended it.

    Raises:
        KeyboardInterrupt: after the command has ended too. A terminal sends Ctrl-C to both, and the command may have
            something to put away (a training saves its state), which `subprocess.run` would cut off after 0.25 s.
    """
    with subprocess.Popen(command, cwd=cwd, env=env) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            try:
                process.wait(timeout=GRACE_SECONDS)
            except (KeyboardInterrupt, subprocess.TimeoutExpired):
                process.kill()
            raise
    return code if code >= 0 else 128 - code


def ask(command: list[str], code: str) -> subprocess.CompletedProcess[str] | None:
    """What an interpreter answers to a few lines of Python; None where the interpreter cannot be started at all."""
    try:
        return subprocess.run([*command, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None


def version_of(command: list[str], imports: str = "sys") -> tuple[int, int] | None:
    """(major, minor) of an interpreter that starts and can import the given modules, otherwise None."""
    answer = ask(command, f"import sys, {imports}; print(*sys.version_info[:2])")
    if answer is None or answer.returncode != 0:
        return None
    major, minor = answer.stdout.split()
    return int(major), int(minor)


def running() -> tuple[int, int]:
    return sys.version_info[0], sys.version_info[1]


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def find_python() -> tuple[list[str], tuple[int, int]]:
    """Command and version of the Python that makes `.venv`: the running one if suitable, else one found by name."""
    if running() in SUITABLE:
        return [sys.executable], running()
    this = f"this is Python {dotted(sys.version_info[:3])} ({sys.executable})"
    for version in SUITABLE:
        by_launcher = [["py", f"-{dotted(version)}"]] if os.name == "nt" else []
        for command in [*by_launcher, [f"python{dotted(version)}"]]:
            # A name on the path may be an empty shell (pyenv's shims, the Microsoft Store's), so it has to answer.
            if shutil.which(command[0]) and version_of(command) == version:
                say(f"{this}, which cannot be used here; using {' '.join(command)} instead")
                return command, version
    raise SetupError(
        f"Python 3.10, 3.11 or 3.12 is needed, {this}, and none of python3.12, python3.11, python3.10 was found: "
        "install one from https://www.python.org/downloads/ and start run.py with it"
    )


def venv_python(root: Path) -> Path:
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def stamp_path(root: Path) -> Path:
    return root / ".venv" / "gvr-installed.json"


def read_stamp(root: Path) -> dict[str, str]:
    """What the last finished installation left behind; empty where there is none, or an unreadable one."""
    try:
        stamp = json.loads(stamp_path(root).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def digests(root: Path, requirements: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of each requirement file together with the constraints it is installed under, by name."""
    constraints = (root / CONSTRAINTS).read_bytes()
    return {name: hashlib.sha256((root / name).read_bytes() + constraints).hexdigest() for name in requirements}


def is_fresh(root: Path, requirements: tuple[str, ...]) -> bool:
    """Whether `.venv` holds everything asked for, and belongs to the running Python if that one is suitable."""
    wanted = digests(root, requirements)
    if running() in SUITABLE:
        wanted["python"] = dotted(running())
    return venv_python(root).exists() and wanted.items() <= read_stamp(root).items()


def make_venv(root: Path) -> tuple[int, int]:
    """Version of a working `.venv`: the present one if whole and of the right Python, else a new one in its place."""
    venv = root / ".venv"
    present = version_of([str(venv_python(root))], imports="pip")
    if present in SUITABLE and (present == running() or running() not in SUITABLE):
        return present
    command, version = find_python()
    if venv.exists():
        state = f"of Python {dotted(present)}" if present else "incomplete"
        say(f".venv is {state}; making it again with Python {dotted(version)}")
    else:
        say(f"making .venv with Python {dotted(version)}")
    stamp_path(root).unlink(missing_ok=True)  # first, because clearing may be interrupted half-way
    made = subprocess.run([*command, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise SetupError(
            f".venv could not be made:\n{made.stdout}{made.stderr}On Debian and Ubuntu the package "
            f"python{dotted(version)}-venv is needed; elsewhere delete .venv, close programs that use it and try again"
        )
    return version


def pip_commands(root: Path, requirements: tuple[str, ...], torch_index: str | None) -> list[list[str]]:
    """The pip calls that install the requirement files, in order."""
    # Wheels first: nobody should need a compiler because a newer release has its wheels late.
    pip = [str(venv_python(root)), "-m", "pip", "install", "--disable-pip-version-check", "--prefer-binary"]
    constraints = ["-c", str(root / CONSTRAINTS)]
    files = [part for name in requirements for part in ("-r", str(root / name))]
    # A call of its own, so that an index without the right PyTorch is an error and not a silent fall back to PyPI.
    first = [[*pip, "torch", *constraints, "--index-url", torch_index]] if torch_index else []
    return [*first, [*pip, *files, *constraints]]


def check_imports(root: Path) -> None:
    """Raises SetupError, with the last line of the traceback, where an installed package cannot be imported."""
    answer = ask([str(venv_python(root))], f"import {RUNTIME_IMPORTS}")
    if answer is not None and answer.returncode == 0:
        return
    reason = (answer.stderr.strip().splitlines() or ["no output"])[-1] if answer else "Python does not start"
    if "libGL" in reason or "libgthread" in reason or "libglib" in reason:
        # opencv-python opens windows; servers and containers often lack the system libraries for that.
        advice = "install them with `apt-get install libgl1 libglib2.0-0` or what your system calls these"
    else:
        advice = "delete .venv and try again"
    raise SetupError(f"everything is installed but cannot be imported ({reason}): {advice}")


def install(root: Path, requirements: tuple[str, ...], torch_index: str | None) -> None:
    """Brings `.venv` up to date. The stamp goes first and comes back last, so an interrupted run is simply repeated."""
    version = make_venv(root)
    before = read_stamp(root)
    stamp_path(root).unlink(missing_ok=True)
    say(f"installing {', '.join(requirements)}; the first time this downloads PyTorch and takes minutes")
    for command in pip_commands(root, requirements, torch_index):
        code = call(command)
        if code != 0:
            raise SetupError(
                f"pip ended with code {code}, its reason is above; the next run goes on from here, or delete .venv"
            )
    check_imports(root)
    stamp = {**before, **digests(root, requirements), "python": dotted(version)}
    stamp_path(root).write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    say("installed")


def start(root: Path, command: str, arguments: list[str]) -> int:
    """Exit code of the command, run by the Python of `.venv`."""
    python = str(venv_python(root))
    if command == "test":
        # In the root because pytest's --confcutdir is relative to where it stands.
        return call([python, "-m", "pytest", *arguments], cwd=root)
    module = [command] if command == "train" else ["gvr_core", command]
    # The root on the path rather than as working directory: paths in the arguments mean where the person stands.
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return call([python, "-m", *module, *arguments], env={**ALLOCATOR, **os.environ, "PYTHONPATH": path})


def main(argv: list[str], root: Path = ROOT) -> int:
    """Exit code: that of the command, 1 where the setting up fails, 2 for a wrong call, 130 after Ctrl-C."""
    try:
        torch_index, rest = split_arguments(argv)
        if not rest or rest[0].startswith("-"):
            print(HELP)
            return 0 if rest and rest[0] in ("-h", "--help") else 2
        command, *arguments = rest
        requirements = NEEDS.get(command, NEEDS_OTHERWISE)
        if not is_fresh(root, requirements):
            install(root, requirements, torch_index)
        return start(root, command, arguments)
    except SetupError as problem:
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
