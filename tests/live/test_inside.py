"""The pack inside ComfyUI's own process, for states of a machine that a server on a CPU does not get into."""

import json
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

SCRIPTS = Path(__file__).resolve().parent / "inside"


@pytest.fixture(scope="module")
def run_inside(host, tmp_path_factory):
    """Function: what a script of `inside` finds in this host."""

    def run(name, *arguments):
        script = SCRIPTS / f"{name}.py"
        command = [host.python, str(script), *arguments]
        result = subprocess.run(
            command, cwd=host.path, env=host.environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert result.returncode == 0, result.stderr[-3000:]
        return json.loads(result.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def little_memory(run_inside):
    return run_inside("little_memory")


@pytest.mark.parametrize("state", ["novram", "partial", "enough"])
@pytest.mark.parametrize("module", ["upsampler", "vae"])
def test_small_modules_are_loaded_whole(little_memory, module, state):
    found = little_memory[f"{module} {state}"]

    assert found["devices"] == ["meta"]
    assert found["whole"] == found["size"]
    assert (found["unloads"], found["left"]) == (True, 0)
