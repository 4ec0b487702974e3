import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from train.cli import main
from train.pairs import cli, source_clips
from train.pairs.degrade import plan_degrade
from train.pairs.encode import EncodeShard, plan_encode
from train.pairs.prepare import plan_prepare
from train.pairs.reading import StageSamples
from train.pairs.storage import write_durably

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


def test_what_changes_early_reaches_the_later_stages(root, tmp_path, capsys, files):
    """Truth: the same three commands in a new folder."""
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(4):
        (clips / f"{number}.mp4").write_bytes((root / "a.mp4").read_bytes())
    (clips / "1.mp4").write_bytes((root / "broken.mp4").read_bytes())

    def run(name, output="out"):
        two_a_shard = [setting for setting in SMALL if not setting.startswith("clips_per_shard")]
        quick = ["clips_per_shard=2", "cut.most=1", "cut.references=false", "degrade.variants=[plain]"]
        arguments = [f"root={clips}", f"output={tmp_path / output}", *two_a_shard, *quick]
        return main([name, *arguments]), capsys.readouterr()

    for name in ("prepare", "degrade", "encode"):
        assert run(name)[0] == 0
    (clips / "1.mp4").write_bytes((root / "a.mp4").read_bytes())
    (clips / "3.txt").write_text("a texture")
    _, said = run("prepare")
    assert "2 shards are made again: what they were made from has changed" in said.out
    code, said = run("encode")
    assert code == 2
    assert "which were prepared again: degrade again" in said.err
    assert "2 shards are made again" in run("degrade")[1].out
    assert "2 shards are made again" in run("encode")[1].out
    for name in ("prepare", "degrade", "encode"):
        assert "2 of 2 shards are there already, 0 to make" in run(name)[1].out
        assert run(name, "new")[0] == 0
    for folder in ("clips", "degraded", "encoded"):
        assert files(tmp_path / "out" / folder) == files(tmp_path / "new" / folder)


def test_a_run_goes_on_without_the_shards_of_finished_stages(root, tmp_path, capsys, files):
    quick = [*SMALL, "cut.most=1", "cut.references=false", "degrade.variants=[plain]"]
    places, folders = [f"root={root}", f"output={tmp_path / 'out'}", *quick], ("clips", "degraded", "encoded")
    for name in ("prepare", "degrade", "encode"):
        assert main([name, f"root={root}", f"output={tmp_path / 'whole'}", *quick]) == 0
    assert main(["prepare", *places]) == 0
    assert main(["degrade", *places]) == 0
    assert main(["encode", "--shard", "0/2", *places]) == 0
    for folder in folders[:2]:
        for shard in range(0, 8, 2):
            (tmp_path / "out" / folder / f"shard-{shard:06d}.tar").unlink()
    assert main(["encode", *places]) == 0
    for shard in range(8):
        (tmp_path / "out" / "clips" / f"shard-{shard:06d}.tar").unlink(missing_ok=True)
    capsys.readouterr()
    assert main(["encode", *places]) == 0
    assert "8 of 8 shards are there already, 0 to make" in capsys.readouterr().out
    assert files(tmp_path / "out" / "encoded") == files(tmp_path / "whole" / "encoded")
    (tmp_path / "out" / "encoded" / "shard-000000.json").unlink()
    assert main(["encode", *places]) == 2
    assert "its tar file is not there any more: give the command that fills this folder" in capsys.readouterr().err


def test_looking_at_the_clips_of_finished_shards_is_the_workers_business(make_config, prepare, monkeypatch, capsys):
    config = make_config("out", "clips_per_shard=3")
    stage = prepare(config)
    before = [stage.versions([shard]) for shard in range(stage.shards)]
    stage.manifest(1).write_bytes(stage.manifest(1).read_bytes().replace(b'"inputs": "', b'"inputs": "of other clips '))

    def in_this_process(path):
        raise AssertionError(f"{path} was read here")

    monkeypatch.setattr(source_clips, "fingerprint", in_this_process)
    arguments = ["filter.short_side=64", "filter.quality=none", "cut.lengths=[5, 9]", "clips_per_shard=3", "cut.most=2"]
    arguments += [f"root={config.root}", f"output={config.output}", "cut.buckets=[[96, 64], [64, 96]]"]
    capsys.readouterr()
    assert main(["prepare", "--workers", "2", *arguments]) == 0
    said = capsys.readouterr()
    assert "3 of 3 shards are there already, 0 to make; their clips are looked at for changes" in said.out
    assert "1 shards are made again: what they were made from has changed" in said.out
    assert "8/8" in said.err
    after = [stage.versions([shard]) for shard in range(stage.shards)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]
    assert b"of other clips" not in stage.manifest(1).read_bytes()


def test_the_jobs_of_an_array_parse_few_manifests_at_their_end(make_config, prepare, degrade, encode, monkeypatch):
    config = make_config("out", "clips_per_shard=2", "cut.lengths=[5]", "cut.most=1", "degrade.variants=[plain]")
    prepare(config), degrade(config), encode(config)
    stage, clips, degraded = plan_encode(config)
    inputs = EncodeShard(config.encode, stage, clips, degraded).inputs
    original, read = Path.read_bytes, []

    def read_bytes(self):
        read.append(self)
        return original(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert all(stage.is_done(shard, inputs) for shard in range(stage.shards))
    assert len(read) == len(set(read)) == 3 * stage.shards  # its own, the one of degrade and the one of prepare
    read.clear()
    stage.tar(3).rename(stage.folder / "elsewhere")
    cli.finish(stage, inputs)
    assert read == []


@pytest.mark.parametrize("number", [1, 3, None])
def test_a_folder_of_another_version_is_told_before_anything_is_made(make_config, prepare, tmp_path, number):
    config = make_config()
    stage = prepare(config)
    plan = json.loads((stage.folder / "plan.json").read_bytes())
    (stage.folder / "plan.json").write_text(json.dumps({**plan, "format": number}))
    message = rf"clips was begun by another version .*format {number}, .*finish it with that version, or begin anew"
    for begin in (plan_prepare, plan_degrade, plan_encode):
        (Path(config.output) / "degraded").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=message):
            begin(config)
        assert not list((Path(config.output) / "degraded").iterdir())
        assert not (Path(config.output) / "encoded").exists()
    assert len(StageSamples(stage.folder, "prepare")) > 0  # what it made can be read


def test_a_retry_that_changes_nothing_leaves_the_later_stages_alone(root, tmp_path, capsys):
    places = [f"root={root}", f"output={tmp_path}", *SMALL]
    for name in ("prepare", "degrade"):
        assert main([name, *places]) == 0
    (tmp_path / "clips" / "shard-000000.json").unlink()
    assert main(["prepare", *places]) == 0
    capsys.readouterr()
    assert main(["degrade", *places]) == 0
    assert "8 of 8 shards are there already, 0 to make" in capsys.readouterr().out


def test_index_and_report_are_written_again_if_a_shard_is_replaced_meanwhile(make_config, prepare, files, monkeypatch):
    config = make_config()
    stage = prepare(config)
    whole = files(stage.folder)
    manifest = stage.manifest(0).read_bytes()
    original, calls = cli.write_report, []

    def while_another_job_works(stage):
        original(stage)
        if not calls:  # its manifest arrives after the index and the report were written
            write_durably(stage.manifest(0), manifest)
        calls.append(stage)

    monkeypatch.setattr(cli, "write_report", while_another_job_works)
    stage.manifest(0).write_bytes(manifest.replace(b'"samples": 2', b'"samples": 9'))
    cli.finish(stage)
    assert len(calls) == 2
    assert files(stage.folder) == whole


def test_a_shard_between_its_tar_and_its_manifest_is_left_to_the_job_that_makes_it(
    make_config, prepare, monkeypatch, capsys
):
    stage = prepare(make_config())

    def while_another_job_works(stage):
        stage.tar(0).write_bytes(b"new")
        return stage.read_manifest(0)

    monkeypatch.setattr(cli, "write_index", while_another_job_works)
    capsys.readouterr()
    cli.finish(stage)
    assert "the index follows with the last" in capsys.readouterr().out


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
@pytest.mark.parametrize(
    ("number", "count"), [("RANK", "WORLD_SIZE"), ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")]
)
def test_jobs_of_a_cluster_that_begin_at_once_make_the_same_bytes(root, tmp_path, files, number, count):
    for name, folder in (("prepare", "clips"), ("degrade", "degraded"), ("encode", "encoded")):
        subprocess.run(command(name, root, tmp_path / "alone"), cwd=ROOT, check=True)
        jobs = [
            subprocess.Popen(
                command(name, root, tmp_path / "together"), cwd=ROOT, env={**os.environ, number: str(job), count: "2"}
            )
            for job in range(2)
        ]
        assert [job.wait(300) for job in jobs] == [0, 0]
        assert files(tmp_path / "together" / folder) == files(tmp_path / "alone" / folder)


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
