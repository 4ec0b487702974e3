"""The engine on a toy task in one process: exact resume, guards, signals, logs, what a run refuses."""

import json
import logging
import math
import os
import signal
from itertools import pairwise

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from train.checkpoint import checkpoints, load_weights, read_run
from train.fit_config import OptimConfig
from train.loop import fit, training
from train.loop.group_sampler import GroupSampler
from train.loop.learning_rate import learning_rate
from train.loop.run import DivergedError, Run
from train.loop.stop_signal import StopSignal

from .checkpoint_tensors import checkpoint_tensors
from .toy_run import ToyTask, toy_config


@pytest.fixture(autouse=True)
def toy_task(monkeypatch):
    """The toy for the real tasks, and one thread: two wait longer for each other than they compute."""
    monkeypatch.setattr(training.tasks, "make_task", ToyTask)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def assert_same(a, b):
    a, b = checkpoint_tensors(a), checkpoint_tensors(b)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def read_lines(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("options", [(), ("workers=2",), ("precision=bf16", "gradient_checkpointing=true")])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path, options):
    whole = fit(toy_config(tmp_path / "whole", *options))
    first = fit(toy_config(tmp_path / "parts", *options, "objective.stop_group=8"))
    assert first.name == "step-00000003"  # groups 8 to 11 are step 3
    resumed = fit(toy_config(tmp_path / "parts", *options, "objective.stop_group=8"), resume="latest")
    assert resumed.name == whole.name == "step-00000006"
    assert_same(whole, resumed)
    state = checkpoint_tensors(whole)
    assert {name.split(".")[0] for name in state} == {"model", "ema", "optimizer"}
    assert [line["step"] for line in read_lines(tmp_path / "parts")] == [1, 2, 3, 4, 5, 6]


def test_the_weights_do_not_depend_on_workers_and_barely_on_accumulation(tmp_path):
    plain = fit(toy_config(tmp_path / "plain"))
    assert_same(plain, fit(toy_config(tmp_path / "workers", "workers=2")))
    config = toy_config(tmp_path / "plain")
    run = Run(config, ToyTask(config))
    run.start()
    run.prepare()
    groups = run.task.groups()
    # The mean over a batch of four, taken at once by hand.
    loss = sum(run.module(groups[g])[0] for g in range(4)) / 4
    loss.backward()
    expected = torch.cat([p.grad.flatten() for p in run.model.parameters()])
    report = run.train_step(iter([groups[g] for g in range(4)]))
    assert report.norm == pytest.approx(float(2 * expected.norm()), rel=1e-5)  # on top of the gradient by hand


def test_losses_that_are_not_finite_change_no_weight_and_the_run_goes_on(tmp_path, caplog):
    config = toy_config(tmp_path / "run", "objective.nan_groups=[9]", "save_every=1", "keep=9")
    with caplog.at_level(logging.WARNING, logger="gvr"):
        last = fit(config)
    before, after = (tmp_path / "run" / f"step-{step:08d}" for step in (2, 3))
    assert_same(before, after)
    assert read_run(after)["skipped"] == read_run(last)["skipped"] == 1
    lines = read_lines(tmp_path / "run")
    assert [line["skipped"] for line in lines] == [0, 0, 1, 0, 0, 0]
    assert lines[2]["loss"] is None
    assert "step 3" in caplog.text
    assert "no weight changed" in caplog.text
    moved = checkpoint_tensors(last)
    assert not torch.equal(moved["model.head.head.weight"], checkpoint_tensors(after)["model.head.head.weight"])


def test_a_run_that_stays_broken_ends_with_an_error(tmp_path):
    config = toy_config(tmp_path / "run", "steps=40", f"objective.nan_groups={list(range(8, 160))}")
    with pytest.raises(DivergedError, match=r"20 steps in a row, to step 22, .*lower optim\.learning_rate"):
        fit(config)


def test_no_average_is_kept_where_none_is_wanted(tmp_path):
    config = toy_config(tmp_path / "run", "optim.ema_decay=0", "steps=2")
    last = fit(config)
    assert not any(name.startswith("ema.") for name in checkpoint_tensors(last))
    with pytest.raises(ValueError, match=r"no averaged weights, optim\.ema_decay was 0"):
        load_weights(last, ToyTask(config).model, ema=True)


def test_weights_and_average_are_read_into_a_model(tmp_path):
    config = toy_config(tmp_path / "run")
    last, task = fit(config), ToyTask(config)
    state = checkpoint_tensors(last)
    for ema, part in ((False, "model"), (True, "ema")):
        load_weights(last, task.model, ema=ema)
        assert all(torch.equal(p, state[f"{part}.{name}"]) for name, p in task.model.named_parameters())
    other = ToyTask(toy_config(tmp_path / "other", "model.layers=3"))
    with pytest.raises(ValueError, match=r"has no model\.blocks\.2\..*another model"):
        load_weights(last, other.model, ema=False)
    wider = ToyTask(toy_config(tmp_path / "wider", "model.dim=32"))
    with pytest.raises(ValueError, match=r"of shape .*the model needs"):
        load_weights(last, wider.model, ema=False)


def test_the_average_is_the_formula(tmp_path):
    fit(toy_config(tmp_path / "run", "save_every=1", "keep=9", "steps=4"))
    states = [checkpoint_tensors(path) for path in checkpoints(tmp_path / "run")]
    config = toy_config(tmp_path / "run")
    start = ToyTask(config)
    torch.manual_seed(config.seed)
    start = ToyTask(config)
    start.start()
    average = dict(start.model.state_dict())
    for step, state in enumerate(states):
        decay = min(0.9, (1 + step) / (10 + step))
        for name in average:
            average[name] = decay * average[name] + (1 - decay) * state[f"model.{name}"]
            torch.testing.assert_close(state[f"ema.{name}"], average[name], atol=1e-6, rtol=1e-5)


def test_only_the_newest_checkpoints_stay(tmp_path):
    fit(toy_config(tmp_path / "run", "save_every=1", "keep=2"))
    assert [p.name for p in checkpoints(tmp_path / "run")] == ["step-00000005", "step-00000006"]
    assert list((tmp_path / "run").glob("*.partial")) == []


def test_a_run_is_neither_overwritten_nor_mixed_with_another(tmp_path):
    config = toy_config(tmp_path / "run", "steps=1")
    with pytest.raises(ValueError, match="nothing to resume"):
        fit(config, resume="latest")
    fit(config, resume="auto")
    with pytest.raises(ValueError, match="already holds a run"):
        fit(config)
    for override, text in (
        ("model.dim=32", r"trained with model\.dim=16, now it is 32: .*may change output, steps,"),
        ("seed=4", "trained with seed=3, now it is 4"),
        ("micro_batch=2", "trained with micro_batch=1, now it is 2"),
        ("optim.clip_norm=2", r"trained with optim\.clip_norm=1\.0, now it is 2\.0"),
        ("data.tasks={edit: 1}", r"trained with data\.tasks\.t2v=1\.0, now it is nothing|data\.tasks\.edit"),
    ):
        with pytest.raises(ValueError, match=text):
            fit(toy_config(tmp_path / "run", override), resume="latest")
    free = ("steps=2", "save_every=2", "workers=1", "gradient_checkpointing=true", "data.cache=elsewhere")
    assert fit(toy_config(tmp_path / "run", *free), resume="latest").name == "step-00000002"


def test_an_unfinished_checkpoint_is_none(tmp_path):
    fit(toy_config(tmp_path / "run", "steps=3"))
    broken = tmp_path / "run" / "step-00000009.partial"
    broken.mkdir()
    (broken / "run.json").write_text("{}")
    assert [p.name for p in checkpoints(tmp_path / "run")] == ["step-00000003"]
    fit(toy_config(tmp_path / "run", "steps=4"), resume="latest")
    assert not broken.exists()


def test_processes_must_share_a_step_evenly():
    with pytest.raises(ValueError, match=r"4 processes cannot share 6 micro-batches a step evenly: start 1, 2, 3, 6"):
        GroupSampler(groups_per_step=6, first_step=0, steps=1, processes=4)


@pytest.mark.parametrize("processes", [1, 2, 3, 6])
def test_a_steps_groups_are_the_same_for_any_number_of_processes(processes):
    samplers = [
        GroupSampler(groups_per_step=6, first_step=2, steps=5, process=r, processes=processes) for r in range(processes)
    ]
    shares = [list(sampler) for sampler in samplers]
    assert [len(share) for share in shares] == [len(sampler) for sampler in samplers]
    count = samplers[0].accumulation
    for step in range(3):
        groups = sorted(g for share in shares for g in share[step * count : (step + 1) * count])
        assert groups == list(range(6 * (2 + step), 6 * (3 + step)))


def test_the_schedule_warms_up_and_ends_at_its_share():
    optim = OptimConfig(learning_rate=1.0, warmup_steps=10, final=0.2)
    rates = [learning_rate(optim, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.6)  # half way down
    assert rates[-1] == pytest.approx(0.2, abs=0.01)
    assert all(a >= b for a, b in pairwise(rates[10:]))
    constant = OptimConfig(learning_rate=1.0, warmup_steps=0, final=1.0)
    assert {learning_rate(constant, step, 9) for step in range(9)} == {1.0}


def test_validation_sees_the_average_and_leaves_the_run_alone(tmp_path, monkeypatch):
    looks = []

    def validate(self, output, step):
        looks.append((output, step, self.model.head.head.weight.detach().clone()))
        return {"psnr": 20.0 + step}

    monkeypatch.setattr(ToyTask, "validate", validate, raising=False)
    options = ("save_every=2", "keep=9", "validation.every=4", "validation.groups=3", "validation.sigmas=[0.25, 0.5]")
    config = toy_config(tmp_path / "looked", *options)
    looked = fit(config)
    monkeypatch.delattr(ToyTask, "validate")
    assert_same(looked, fit(toy_config(tmp_path / "plain")))
    assert [(output, step) for output, step, _ in looks] == [(tmp_path / "looked", 4), (tmp_path / "looked", 6)]
    at_four = tmp_path / "looked" / "step-00000004"
    assert torch.equal(looks[0][2], checkpoint_tensors(at_four)["ema.head.head.weight"])

    task = ToyTask(config)
    load_weights(at_four, task.model, ema=True)
    held_out = task.groups(held_out=True)
    with torch.no_grad():
        losses = [float(task.loss(held_out[g], sigma=0.25)[0]) for g in range(3)]
    line = next(line for line in read_lines(tmp_path / "looked") if "validation/loss" in line)
    assert line["step"] == 4
    assert line["validation/loss_0.25"] == pytest.approx(math.fsum(losses) / 3, rel=1e-6)
    assert line["validation/psnr"] == 24.0


def test_a_line_says_how_fast_it_was(tmp_path):
    config = toy_config(tmp_path / "run", "steps=1")
    fit(config)
    (line,) = read_lines(tmp_path / "run")
    # 4 samples of 2 latent frames of 4 x 4 cells, in patches of 2 x 2.
    assert line["tokens_per_second"] * line["seconds"] == pytest.approx(4 * 2 * 2 * 2, rel=1e-2)
    assert line["samples_per_second"] * line["seconds"] == pytest.approx(4, rel=1e-2)
    assert 0 < line["mfu"] < 1
    assert line["memory_gib"] > 0.05
    assert line["even"] == 1.0  # the mean over those groups that have it


def test_flops_are_those_that_torch_counts(tmp_path):
    config = toy_config(tmp_path / "run", "model.dim=64")
    run = Run(config, ToyTask(config))
    clean = torch.randn(1, 48, 5, 16, 16)
    # Torch counts attention in this form alone.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run.module({"clean": clean, "noise": clean, "group": 0})[0].backward()
    tokens, flops = run.meter.take()
    assert tokens == 5 * 8 * 8
    # A gradient of the transformer's input, which nobody needs, is in ours: its patch embedding once more.
    unneeded = 2 * tokens * 96 * 2 * 2 * 64
    assert flops - unneeded == pytest.approx(counter.get_total_flops(), rel=2e-3)
    assert run.meter.take() == (0, 0)


def test_signals_are_remembered_and_a_second_interrupt_is_one():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        assert stop.received is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_tensorboard_gets_the_figures(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit(toy_config(tmp_path / "run", "steps=2", "trackers=[tensorboard]"))
    events = reader.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    lines = read_lines(tmp_path / "run")
    scalars = events.Scalars("loss")
    assert [s.step for s in scalars] == [1, 2]
    assert [s.value for s in scalars] == pytest.approx([line["loss"] for line in lines])


def test_a_tracker_that_is_not_there_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING, logger="gvr"):
        fit(toy_config(tmp_path / "run", "steps=1", "trackers=[wandb]"))
    assert "wandb is not installed, figures go to log.jsonl alone" in caplog.text
    with pytest.raises(ValueError, match="trackers has 'tensorbord'"):
        fit(toy_config(tmp_path / "other", "trackers=[tensorbord]"))
