"""Fixtures of the tests that run ComfyUI: a server for each checkout, and tiny models in its folders.

`python run.py test -m live` runs them, with the checkouts named in COMFYUI_PATH or found in ~/comfy.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from .comfy_server import ComfyServer
from .graphs import Graph
from .hosts import find_hosts
from .tiny_models import TinyModels

HOW_TO = (
    "no ComfyUI found: set COMFYUI_PATH to one or more checkouts (separated like PATH) and, unless there is a .venv in "
    "or beside them, COMFYUI_PYTHON to the interpreter that has ComfyUI's requirements"
)
HOSTS = find_hosts()
HOST_PARAMETERS = [pytest.param(host, id=host.path.name) for host in HOSTS] or [
    pytest.param(None, id="none", marks=pytest.mark.skip(reason=HOW_TO))
]
SCRIPTS = Path(__file__).resolve().parent / "inside"
MODEL_FOLDERS = {
    "wan": "diffusion_models",
    "hunyuan": "diffusion_models",
    "wan_vae": "vae",
    "hunyuan_vae": "vae",
    "wan_cascade": "diffusion_models",
    "wan_lora": "loras",
    "truncated": "diffusion_models",
}


def pytest_terminal_summary(terminalreporter):
    """Say it where nobody overlooks it: tests that were asked for have not run."""
    if any(HOW_TO in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(f"LIVE TESTS SKIPPED: {HOW_TO}", red=True)


@pytest.fixture(scope="session", params=HOST_PARAMETERS)
def host(request):
    """Each checkout in turn; all tests of one run before those of the next."""
    if not (request.param.path / "main.py").is_file():
        pytest.fail(f"COMFYUI_PATH names {request.param.path}, which has no main.py: name checkouts of ComfyUI")
    return request.param


@pytest.fixture(scope="session")
def tiny_models(host):
    """Maker of tiny checkpoints for this host; the files go when its tests have ended."""
    with tempfile.TemporaryDirectory(prefix="gvr-tiny-models-") as folder:
        yield TinyModels(host, Path(folder))


@pytest.fixture(scope="session")
def start_server(host, tmp_path_factory):
    """Function: a fresh server of this host with empty folders, as a context manager; takes environment variables."""

    def start(**environment):
        return ComfyServer(host, tmp_path_factory.mktemp(f"comfy-{host.version}-"), environment)

    return start


@pytest.fixture(scope="session")
def server(start_server):
    """The server that the tests share."""
    with start_server() as server:
        if "GVRLoadCascade" not in server.object_info():
            pytest.fail(f"the pack has not loaded; {server.log_tail()}")
        yield server
    # The outputs are of no use any more, pytest would keep them for three sessions.
    shutil.rmtree(server.base / "output")


@pytest.fixture(scope="session")
def install(server, tiny_models):
    """Function: puts the tiny model of a name into the server's models folder; returns the name a loader has for it."""

    def install(name):
        path = getattr(tiny_models, name)()
        folder = server.base / "models" / MODEL_FOLDERS[name]
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
        return path.name

    return install


@pytest.fixture(scope="session")
def run_inside(host):
    """Function: what a script of `inside` finds in this host's own process."""

    def run(name, *arguments):
        command = [host.python, str(SCRIPTS / f"{name}.py"), *arguments]
        result = subprocess.run(
            command, cwd=host.path, env=host.environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert result.returncode == 0, result.stderr[-3000:]
        return json.loads(result.stdout.splitlines()[-1])

    return run


@pytest.fixture
def graph():
    """An empty prompt."""
    return Graph()
