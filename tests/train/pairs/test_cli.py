import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from train.cli import main

ROOT = Path(__file__).resolve().parents[3]
SMALL = [
    "filter.short_side=64",
    "filter.quality=none",
    "cut.lengths=[5, 9]",
    "cut.buckets=[[96, 64]]",
    "clips_per_shard=1",
]


def test_three_commands_make_pairs(root, tmp_path, capsys):
    places = [f"root={root}", f"output={tmp_path}", *SMALL]
    assert main(["prepare", *places]) == 0
    text = capsys.readouterr().out
    assert "damaged, left out: broken.mp4" in text
    assert "4 of 8 clips kept, 3 dropped, 1 damaged" in text
    assert main(["degrade", "--shard", "0/2", *places]) == 0
    assert "4 of 8 shards; the index follows with the last" in capsys.readouterr().out
    assert main(["degrade", *places]) == 0
    assert "4 of 8 shards are there already, 4 to make" in capsys.readouterr().out
    assert main(["encode", *places]) == 0
    assert (tmp_path / "encoded" / "index.parquet").is_file()


def test_mistakes_are_one_line(root, tmp_path, capsys):
    assert main(["encode", f"root={root}", f"output={tmp_path}"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert main(["prepare", f"root={tmp_path / 'none'}", f"output={tmp_path}"]) == 2
    assert "no such folder of clips" in capsys.readouterr().err


def command(name, root, output, *options):
    places = [f"root={root}", f"output={output}", *SMALL]
    return [sys.executable, "-m", "train", name, *options, *places]


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_killed_at_any_moment_the_next_run_makes_the_same_bytes(root, tmp_path, files, options):
    for name, folder in (("prepare", "clips"), ("degrade", "degraded"), ("encode", "encoded")):
        started = time.monotonic()
        subprocess.run(command(name, root, tmp_path / "whole"), cwd=ROOT, check=True)
        seconds = time.monotonic() - started
        chance = random.Random(name)
        for _ in range(6):
            process = subprocess.Popen(command(name, root, tmp_path / "killed", *options), cwd=ROOT)
            # The first part of a run is imports: most kills should fall into the work after it.
            time.sleep(chance.uniform(0.4, 1.1) * seconds)
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run(command(name, root, tmp_path / "killed", *options), cwd=ROOT, check=True)
        assert files(tmp_path / "killed" / folder) == files(tmp_path / "whole" / folder)


@pytest.mark.slow
def test_ray_makes_the_same_bytes_and_tells_mistakes(root, tmp_path, files):
    pytest.importorskip("ray", reason="optional: pip install 'ray[data]'")
    for output, options in (("whole", ()), ("ray", ("--engine", "ray", "--workers", "2"))):
        subprocess.run(command("prepare", root, tmp_path / output, *options), cwd=ROOT, check=True)
    assert files(tmp_path / "ray" / "clips") == files(tmp_path / "whole" / "clips")
    (tmp_path / "ray" / "clips" / "shard-000000.json").unlink()
    (tmp_path / "ray" / "clips" / "shard-000000.tar").unlink()
    (tmp_path / "ray" / "clips" / "shard-000000.tar" / "in the way").mkdir(parents=True)
    again = command("prepare", root, tmp_path / "ray", "--engine", "ray")
    result = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "error: cannot write" in result.stderr
