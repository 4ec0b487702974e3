"""The engine on two processes over gloo, as torchrun starts them: DDP, FSDP2, and DeepSpeed where it is installed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from train.checkpoint import checkpoints, load_weights, read_run
from train.loop import fit, training

from .checkpoint_tensors import checkpoint_tensors
from .toy_run import ToyTask, toy_config

ROOT = Path(__file__).resolve().parents[2]
STOP = "objective.stop_group=9"  # the second group of step 3, of process 1 alone
FORMS = ("whole", "sharded", *(["deepspeed"] if importlib.util.find_spec("deepspeed") else []))


def launch(processes, jobs):
    """Run jobs of `toy_run` on so many processes; the processes assert their number."""
    script = Path(__file__).with_name("toy_run.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(script), str(processes), json.dumps(jobs)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder of straight and of stopped and resumed runs on two processes, and how far the stopped ones came."""
    folder = tmp_path_factory.mktemp("processes")
    nan = ["objective.nan_groups=[9]", "save_every=1", "keep=9", "validation.every=2", "validation.groups=3"]
    first, second = {}, {}
    for form in FORMS:
        first[form] = [
            {"form": form, "output": f"{folder}/{form}-straight", "overrides": ["workers=2"]},
            {"form": form, "output": f"{folder}/{form}-parts", "overrides": [STOP]},
            {"form": form, "output": f"{folder}/{form}-nan", "overrides": nan},
        ]
        second[form] = [{"form": form, "output": f"{folder}/{form}-parts", "overrides": [STOP], "resume": "latest"}]
    launches = [FORMS[:2], *([form] for form in FORMS[2:])]  # DeepSpeed in processes of its own
    for forms in launches:
        launch(2, [job for form in forms for job in first[form]])
    stopped = {form: [p.name for p in checkpoints(folder / f"{form}-parts")] for form in FORMS}
    for forms in launches:
        launch(2, [job for form in forms for job in second[form]])
    return folder, stopped


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.parametrize("form", FORMS)
def test_a_signal_to_one_process_stops_both_and_the_run_goes_on_bit_for_bit(runs, form):
    folder, stopped = runs
    assert stopped[form] == ["step-00000003"]
    straight, parts = (
        checkpoint_tensors(folder / f"{form}-{name}" / "step-00000006") for name in ("straight", "parts")
    )
    assert_same(straight, parts)
    lines = [json.loads(line) for line in (folder / f"{form}-parts" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("form", FORMS)
def test_a_loss_that_is_not_finite_on_one_process_changes_no_weight_on_any(runs, form):
    folder = runs[0] / f"{form}-nan"
    before, after = (folder / f"step-{step:08d}" for step in (2, 3))
    assert_same(checkpoint_tensors(before), checkpoint_tensors(after))
    assert read_run(after)["skipped"] == 1
    last = checkpoint_tensors(folder / "step-00000006")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in last.values())


@pytest.mark.parametrize("form", FORMS[1:])
def test_all_forms_agree(runs, form):
    """Same groups, same arithmetic but for the order of sums. DeepSpeed's optimiser is in its own files."""
    for name in ("straight", "nan"):
        whole, other = (checkpoint_tensors(runs[0] / f"{f}-{name}" / "step-00000006") for f in ("whole", form))
        assert {key for key in whole if form == "sharded" or not key.startswith("optimizer.")} == other.keys()
        for key, value in other.items():
            torch.testing.assert_close(whole[key], value, atol=2e-4, rtol=2e-3)


def test_validation_on_two_processes_counts_every_group_once(runs):
    for form in FORMS:
        folder = runs[0] / f"{form}-nan"
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        looks = [line for line in lines if "validation/loss" in line]
        assert [line["step"] for line in looks] == [2, 4, 6]
        task = ToyTask(toy_config(folder))
        load_weights(folder / "step-00000006", task.model, ema=True)
        held_out = task.groups(held_out=True)
        with torch.no_grad():
            losses = [float(task.loss(held_out[g], sigma=0.6)[0]) for g in range(3)]
        assert looks[-1]["validation/loss_0.6"] == pytest.approx(sum(losses) / 3, rel=1e-5)


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_checkpoint_of_two_processes_goes_on_on_one(runs, form, monkeypatch, tmp_path):
    monkeypatch.setattr(training.tasks, "make_task", ToyTask)
    straight = runs[0] / f"{form}-straight"
    output = tmp_path / "one"
    output.mkdir()
    (straight / "step-00000003").rename(output / "step-00000003")
    try:
        resumed = fit(toy_config(output), resume="latest")
    finally:
        (output / "step-00000003").rename(straight / "step-00000003")
    expected = checkpoint_tensors(straight / "step-00000006")
    for name, tensor in checkpoint_tensors(resumed).items():
        torch.testing.assert_close(tensor, expected[name], atol=2e-4, rtol=2e-3)
