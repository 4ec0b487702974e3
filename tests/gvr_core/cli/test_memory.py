"""A long clip in little memory: 300 frames from 256 to 512 pixels, the whole process watched from outside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gvr_core.sample_clip import render_sample_clip
from gvr_core.video import VideoWriter, probe
from run import ALLOCATOR

ROOT = Path(__file__).resolve().parents[3]
resource = pytest.importorskip("resource", reason="peak memory of a child is only told on Unix")

# Runs the command line and adds the peak of its own memory to what it reports.
WATCHED = """
import resource, sys
from gvr_core.cli.main import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def test_300_frames_stay_under_3_gb(tmp_path):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with VideoWriter(source, width=256, height=256, fps=24) as writer:
        for frame in render_sample_clip(frames=10, height=256, width=256):
            for _ in range(30):  # what moves does not matter here
                writer.write(frame[None])
    arguments = ["upscale", str(source), str(target), "--steps", "1", "--device", "cpu", "--json"]
    environment = {**ALLOCATOR, **os.environ}  # as `python run.py upscale` starts it
    command = [sys.executable, "-c", WATCHED, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report, peak = done.stdout.strip().splitlines()
    unit = 1 if sys.platform == "darwin" else 1024
    assert json.loads(report)["output"] == {"path": str(target), "frames": 300, "width": 512, "height": 512}
    assert probe(target).frames == 300
    assert int(peak) * unit < 3e9
