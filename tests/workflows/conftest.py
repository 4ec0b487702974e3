"""Fake servers, a workflow for them, and a batch that runs in this process."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from .fake_server import FakeServer


@pytest.fixture
def make_server():
    """Function: one more fake server."""
    servers = []

    def make(**settings):
        servers.append(FakeServer())
        for name, value in settings.items():
            setattr(servers[-1], name, value)
        return servers[-1]

    yield make
    for server in servers:
        server.release.set()
        server.stop()


@pytest.fixture
def server(make_server):
    return make_server()


@pytest.fixture
def in_background():
    """Function: does something beside the batch. When that fails, all servers are let go and so does the test."""
    futures = []
    with ThreadPoolExecutor() as pool:

        def start(action, *servers):
            def let_go(future):
                if future.exception() is not None:
                    for server in servers:
                        server.release.set()

            futures.append(pool.submit(action))
            futures[-1].add_done_callback(let_go)

        yield start
    for future in futures:
        future.result()


@pytest.fixture
def workflow(tmp_path):
    """Path of a workflow that loads a clip, samples and saves."""
    path = tmp_path / "upscale.json"
    nodes = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": ""}},
        "2": {
            "class_type": "Sampler",
            "inputs": {"clip": ["1", 0], "seed": 0, "steps": 2, "model": "model"},
            "_meta": {"title": "My Sampler"},
        },
        "3": {"class_type": "Save", "inputs": {"video": ["2", 0]}},
    }
    path.write_text(json.dumps(nodes))
    return path


@pytest.fixture
def clips(tmp_path):
    """Folder with three clips."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.mp4").write_bytes(name.encode())
    return folder


class Batch:
    """Runs the command line here, fast; then what it said, made and remembers."""

    def __init__(self, workflow, output, capsys):
        self.workflow, self.output, self._capsys = workflow, output, capsys
        self.text = ""

    def __call__(self, *arguments, servers=()):
        from workflows.batch.cli import main
        from workflows.batch.worker import Pace

        named = [word for server in servers for word in ("--server", server.url)]
        line = [str(self.workflow), "--output", str(self.output), *named, *map(str, arguments)]
        code = main(line, pace=Pace(look=0.05, first_retry=0.02, longest_retry=0.1))
        self.text = self._capsys.readouterr().err
        return code

    @property
    def files(self):
        return sorted(path.name for path in self.output.iterdir() if not path.name.startswith("manifest."))

    @property
    def jobs(self):
        """Records of the manifest by name."""
        content = json.loads((self.output / "manifest.json").read_text(encoding="utf-8"))
        return {record["name"]: record for record in content["jobs"].values()}

    def state(self, name):
        """Of a job, also while the batch runs and has not yet begun."""
        return self.jobs[name]["state"] if (self.output / "manifest.json").exists() else None

    def seed_in(self, name):
        """The seed with which a result was made."""
        return json.loads((self.output / name).read_bytes())["2"]["inputs"]["seed"]


@pytest.fixture
def batch(workflow, tmp_path, capsys):
    return Batch(workflow, tmp_path / "out", capsys)
