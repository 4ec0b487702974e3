"""The command as a person starts and stops it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "workflows" / "queue_batch.py"
LISTENING = f"""
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
needs_signals = pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process")


def test_it_starts_anywhere_even_where_python_does_not_look_beside_the_script(tmp_path):
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "pip install websocket-client tqdm" in done.stdout
    assert "exit code: 0 all done" in done.stdout


@pytest.fixture
def start(workflow, clips, tmp_path):
    """Function: a batch in a process of its own, that Ctrl-C reaches even where the tests' shell ignores it."""
    processes = []

    def begin(server, *arguments):
        line = [str(workflow), "--inputs", str(clips), "--output", str(tmp_path / "out"), "--server", server.url]
        command = [sys.executable, "-c", LISTENING, *line, *arguments]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@needs_signals
def test_ctrl_c_leaves_the_jobs_on_the_server_and_the_next_run_fetches_them(start, batch, server, clips):
    server.release.clear()
    process = start(server)
    server.wait_for(lambda: server.running and len(server.queue) == 1)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "stopped: 0 done, 0 failed, 3 left" in text
    assert "Traceback" not in text
    assert server.running
    assert len(server.queue) == 1
    server.release.set()
    assert batch("--inputs", clips, servers=[server]) == 0
    assert batch.files == ["a.mp4", "b.mp4", "c.mp4"]
    assert len(server.prompts) == 3


@needs_signals
def test_ctrl_c_takes_the_own_jobs_back_on_request(start, batch, server, clips):
    server.release.clear()
    process = start(server, "--cancel-on-interrupt")
    server.wait_for(lambda: server.running and len(server.queue) == 1)
    server.queue.append({"id": "of somebody else", "prompt": {}, "client_id": ""})
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    server.wait_for(lambda: "of somebody else" in server.history)
    assert {job["state"] for job in batch.jobs.values()} == {"waiting"}
    server.release.set()
    assert batch("--inputs", clips, servers=[server]) == 0
    assert batch.files == ["a.mp4", "b.mp4", "c.mp4"]


@needs_signals
def test_ctrl_c_while_the_server_is_away(start, server):
    server.hangs = True
    process = start(server)
    assert process.poll() is None
    server.wait_for(lambda: server.asked)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
