"""`queue_batch.py` as a person starts it, with a real server: runs, goes on, tells failures, outlives a restart."""

import json
import subprocess
import sys
import time

import pytest

from .comfy_server import ROOT
from .test_workflows import node_of, read_prompt

pytestmark = pytest.mark.live

SCRIPT = ROOT / "workflows" / "queue_batch.py"
QUICKSTART = ROOT / "workflows" / "api" / "quickstart_nano.json"
SMALL = ("GVRSampleClip.width=64", "GVRSampleClip.height=48", "GVRSampleClip.frames=5")
TIMEOUT = 240


@pytest.fixture
def own_server(start_server):
    """A server that a test may stop and start again; it keeps its address."""
    with start_server() as server:
        yield server


@pytest.fixture
def command(own_server, tmp_path):
    """Function: the batch's command line for a workflow and seeds; other arguments are added."""

    def command(workflow, seeds, *more):
        sets = [part for setting in SMALL for part in ("--set", setting)]
        where = ["--server", own_server.url, "--output", str(tmp_path / "results")]
        return [sys.executable, str(SCRIPT), str(workflow), "--seeds", seeds, *sets, *where, *more]

    return command


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)


def jobs_of(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["jobs"].values()


def videos_in(folder):
    return sorted(path.name for path in folder.glob("*.mp4"))


def test_runs_and_does_nothing_twice(own_server, command, tmp_path):
    first = run(command(QUICKSTART, "1,2"))

    assert first.returncode == 0, first.stderr
    results = tmp_path / "results"
    videos = videos_in(results)
    assert len(videos) == 2
    written = {name: (results / name).stat().st_mtime_ns for name in videos}
    assert len(own_server.get("/history")) == 2

    again = run(command(QUICKSTART, "1,2"))

    assert again.returncode == 0, again.stderr
    assert {name: (results / name).stat().st_mtime_ns for name in videos_in(results)} == written
    assert len(own_server.get("/history")) == 2

    one_more = run(command(QUICKSTART, "1,2,3"))

    assert one_more.returncode == 0, one_more.stderr
    assert len(own_server.get("/history")) == 3
    assert len(videos_in(results)) == 3


def test_failures_are_told_with_node_and_message(command, tmp_path):
    failed = run(command(QUICKSTART, "1", "--set", "GVRLatentCascadeUpsample.noise_aug=-0.5"))

    assert failed.returncode == 1
    assert "Latent Cascade Upsample" in failed.stderr
    assert "noise_aug is -0.5, expected 0 to 0.95" in failed.stderr
    (job,) = jobs_of(tmp_path / "results")
    assert job["state"] == "failed"
    assert "noise_aug is -0.5" in json.dumps(job["error"])


def test_a_server_may_be_restarted(own_server, command, tmp_path):
    prompt = read_prompt("quickstart_nano")
    sampler = prompt[node_of(prompt, "GVRMultiCFGSampler")]["inputs"]
    slow = {"model": sampler["model"], "key": "batch", "wait": 1.0}
    prompt["slow"] = {"class_type": "GVRTestCountModel", "inputs": slow}
    sampler["model"] = ["slow", 0]
    (tmp_path / "slow.json").write_text(json.dumps(prompt), encoding="utf-8")
    with subprocess.Popen(command(tmp_path / "slow.json", "1,2,3"), stderr=subprocess.PIPE, text=True) as batch:
        try:
            until = time.monotonic() + TIMEOUT
            # In the second job, with one result fetched.
            while own_server.get("/gvr_test/counts").get("batch", {"calls": 0})["calls"] < 4:
                assert batch.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
            own_server.stop()
            with own_server:
                _, said = batch.communicate(timeout=TIMEOUT)
        finally:
            batch.kill()

    assert batch.returncode == 0, said
    assert len(videos_in(tmp_path / "results")) == 3
    assert [job["state"] for job in jobs_of(tmp_path / "results")] == ["done"] * 3
