"""Checkouts of ComfyUI on this machine."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

THREADS = "2"


@dataclass(frozen=True)
class Host:
    """A checkout of ComfyUI and the interpreter that has its requirements."""

    path: Path
    python: str

    @property
    def version(self) -> str:
        """Version written in the checkout."""
        text = (self.path / "comfyui_version.py").read_text(encoding="utf-8")
        return re.search(r'__version__ = "(.+)"', text)[1]

    @property
    def environment(self) -> dict[str, str]:
        """Environment of its processes: no GPU, few threads, no compiled files left in the checkout."""
        quiet = {"CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        # Threads that spin while they wait make everything ten times slower as soon as something else runs as well.
        threads = {"OMP_NUM_THREADS": THREADS, "MKL_NUM_THREADS": THREADS, "OMP_WAIT_POLICY": "PASSIVE"}
        return {**os.environ, **quiet, **threads}


def find_hosts() -> list[Host]:
    """The checkouts to test with: those of `COMFYUI_PATH`, else `~/comfy/ComfyUI` and `~/comfy/ComfyUI-*`."""
    given = os.environ.get("COMFYUI_PATH")
    if given:
        paths = [Path(part).expanduser().resolve() for part in given.split(os.pathsep) if part]
    else:
        home = Path.home() / "comfy"
        paths = [path for path in (home / "ComfyUI", *sorted(home.glob("ComfyUI-*"))) if (path / "main.py").is_file()]
    return [Host(path, _python_of(path)) for path in paths]


def _python_of(checkout: Path) -> str:
    given = os.environ.get("COMFYUI_PYTHON")
    if given:
        return given
    name = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    candidates = (checkout / ".venv" / name, checkout.parent / ".venv" / name)
    return str(next((path for path in candidates if path.is_file()), sys.executable))
