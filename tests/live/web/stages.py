"""What the web tests run on: a checkout of ComfyUI, a front end and one of its two renderers.

The front end is the one installed beside the host, or one of those that GVR_FRONTENDS names: folders (separated like
PATH) made with `pip install --no-deps --target FOLDER comfyui-frontend-package==X`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..hosts import Host, find_hosts

PACKAGE = "comfyui_frontend_package"
# Nodes 2.0 of earlier ones leaves DOM widgets out, whoever made them.
FIRST_NODES2 = (1, 42)


@dataclass(frozen=True)
class Frontend:
    """A front end on this machine.

    Attributes:
        version: such as 1.58.1.
        root: Folder with its index.html, what `--front-end-root` takes.
    """

    version: str
    root: Path

    @property
    def order(self) -> tuple[int, ...]:
        """The version as numbers."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version))


@dataclass(frozen=True)
class Stage:
    """Where a web test plays.

    Attributes:
        host: The checkout.
        frontend: What the browser loads.
        nodes2: Whether nodes are drawn as page elements (Nodes 2.0), not on the canvas.
    """

    host: Host
    frontend: Frontend
    nodes2: bool

    @property
    def name(self) -> str:
        """Name in test ids."""
        return f"{self.host.version}-{self.frontend.version}-{'nodes2' if self.nodes2 else 'classic'}"


def find_stages() -> list[Stage]:
    """The oldest host with its own front end, the newest with the newest front end in both renderers.

    Renderers and front ends that are not there are left out; without a host the list is empty.
    """
    hosts = sorted(find_hosts(), key=lambda host: [int(part) for part in re.findall(r"\d+", host.version)])
    given = [Path(part).expanduser() for part in os.environ.get("GVR_FRONTENDS", "").split(os.pathsep) if part]
    named = [frontend for folder in given for frontend in _frontends_in(folder)]
    stages = []
    for host in hosts[:1]:
        own = _frontends_of(host) or named
        stages += [Stage(host, min(own, key=lambda frontend: frontend.order), False)] if own else []
    for host in hosts[-1:]:
        frontends = named + _frontends_of(host)
        newest = max(frontends, key=lambda frontend: frontend.order, default=None)
        if newest is not None:
            stages += [Stage(host, newest, nodes2) for nodes2 in (False, True)]
    stages = [stage for stage in stages if not stage.nodes2 or stage.frontend.order >= FIRST_NODES2]
    return list(dict.fromkeys(stages))


def _frontends_of(host: Host) -> list[Frontend]:
    # Not resolved: an environment's interpreter is a link out of it.
    environment = Path(host.python).parent.parent
    folders = [*environment.glob("lib/python3*/site-packages"), environment / "Lib" / "site-packages"]
    return [frontend for folder in folders for frontend in _frontends_in(folder)]


def _frontends_in(folder: Path) -> list[Frontend]:
    found = []
    for info in folder.glob(f"{PACKAGE}-*.dist-info"):
        root = folder / PACKAGE / "static"
        if (root / "index.html").is_file():
            found.append(Frontend(info.name[len(PACKAGE) + 1 : -len(".dist-info")], root.resolve()))
    return found
