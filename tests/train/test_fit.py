"""Real tiny runs: loss falls, resume is bit-exact, bad batches change nothing, the stages chain to a cascade."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml

from gvr_core.cascade import Cascade
from gvr_core.checkpoints import load_part, read_header
from gvr_core.models.vae import NanoVAE
from train.checkpoint import checkpoints, latest_checkpoint
from train.cli import main
from train.data import ClipDataset
from train.export import export
from train.loop import Run, fit, learning_rate

INFERENCE = {
    "num_steps": 2,
    "solver": "euler",
    "shift": 0.5,
    "start": 1.0,
    "noise_aug": 0.05,
    "noise_aug_range": [0.0, 0.3],
    "scales": [2.0],
    "references": False,
}


def weights(checkpoint):
    state = torch.load(checkpoint / "state.pt", weights_only=True)
    return {**state["model"], **{f"ema.{k}": v for k, v in state["ema"].items()}}


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(make_config):
    whole = fit(make_config("whole"))
    first = make_config("parts", "save_every=2")
    run_until(first, 2)
    resumed = fit(first, resume=True)
    a, b = weights(whole), weights(resumed)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def run_until(config, step):
    """Stop a run after `step` steps, as a kill between two steps would."""

    class StoppedError(Exception):
        pass

    original = Run.train_step

    def train_step(self, batch):
        if self.step == step:
            raise StoppedError
        return original(self, batch)

    Run.train_step = train_step
    try:
        with pytest.raises(StoppedError):
            fit(config)
    finally:
        Run.train_step = original


def test_training_improves_on_the_linear_start(make_config):
    config = make_config("run", "steps=60", "optim.warmup_steps=5", "save_every=60", "optim.learning_rate=3e-3")
    run = Run(config)
    clips = ClipDataset(config.data, config.seed)
    run.task.start(clips)
    batches = [torch.utils.data.default_collate([clips[k] for k in range(n, n + 2)]) for n in range(1000, 1016, 2)]

    @torch.no_grad()
    def held_out_loss():
        return sum(float(run.task.loss(batch)[0]) for batch in batches)

    before = held_out_loss()
    checkpoint = fit(config)
    run.model.load_state_dict(torch.load(checkpoint / "state.pt", weights_only=True)["model"])
    assert held_out_loss() < 0.97 * before
    lines = [json.loads(line) for line in (Path(config.output) / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 61))


def test_only_the_newest_two_checkpoints_stay(make_config):
    config = make_config("run", "steps=4", "save_every=1")
    last = fit(config)
    assert [p.name for p in checkpoints(last.parent)] == ["step-00000003", "step-00000004"]


def test_a_run_is_neither_overwritten_nor_mixed_with_another(make_config, tmp_path):
    config = make_config("run", "steps=1")
    with pytest.raises(ValueError, match="nothing to resume"):
        fit(config, resume=True)
    fit(config)
    with pytest.raises(ValueError, match="already holds a run"):
        fit(config)
    with pytest.raises(ValueError, match="another model"):
        fit(make_config("run", "model.width=16"), resume=True)


def test_a_loss_that_is_not_finite_leaves_the_weights_alone(make_config):
    run = Run(make_config())
    before = {n: p.clone() for n, p in run.model.named_parameters()}
    broken = {"video": torch.full((2, 3, 5, 32, 32), float("nan")), "noise_seed": torch.tensor([1, 2])}
    figures = run.train_step(broken)
    assert figures["skipped"] == 1
    assert all(torch.equal(before[n], p) for n, p in run.model.named_parameters())


def test_the_schedule_warms_up_and_ends_at_a_tenth(make_config):
    config = make_config("run", "steps=100", "optim.warmup_steps=10", "optim.learning_rate=1.0")
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_held_out_clips_are_not_trained_on(make_config, clips):
    config = make_config()
    assert len(ClipDataset(config.data, 0).clips) == 2
    with pytest.raises(ValueError, match="no such folder"):
        ClipDataset(make_config("x", "data.root=/nowhere").data, 0)
    with pytest.raises(ValueError, match="shorter than 13 frames"):
        ClipDataset(make_config("x", "data.frames=13").data, 0)


def test_the_three_stages_chain_to_a_cascade_that_runs(make_config, tmp_path, capsys):
    fit(make_config("vae", "steps=2"))
    vae = tmp_path / "vae.safetensors"
    header = export(tmp_path / "vae", vae, dtype="float32")
    assert list(header.parts) == ["vae"]
    state = torch.load(latest_checkpoint(tmp_path / "vae") / "state.pt", weights_only=True)
    assert torch.equal(load_part(vae, "vae").linear_decoder.weight, state["ema"]["linear_decoder.weight"])

    small = ["data.crop=64", "model.hidden=8", "model.low_blocks=1", "model.high_blocks=1", f"objective.vae={vae}"]
    fit(make_config("up", *small, preset="nano_upsampler"))
    upsampler = tmp_path / "up.safetensors"
    header = export(tmp_path / "up", upsampler, dtype="float32")
    std = header.statistics["residual_std"]
    assert len(std) == 48
    assert min(std) > 0

    small = ["data.crop=32", "model.dim=16", "model.ffn_dim=32", "model.num_heads=2", "model.num_layers=2"]
    small += [f"objective.vae={vae}", f"objective.upsampler={upsampler}"]
    fit(make_config("dit", *small, preset="nano_dit"))
    settings = tmp_path / "inference.yaml"
    settings.write_text(yaml.safe_dump(INFERENCE))
    out = tmp_path / "cascade.safetensors"
    arguments = ["export", tmp_path / "dit", out, "--include", vae, "--include", upsampler]
    assert main([str(a) for a in arguments]) == 2
    assert "needs its inference settings" in capsys.readouterr().err
    assert main([str(a) for a in [*arguments, "--inference", settings]]) == 0
    header = read_header(out)
    assert set(header.parts) == {"vae", "upsampler", "dit"}
    assert header.training["dit"]["steps"] == 4
    assert tuple(header.parts["dit"]["residual_std"]) == pytest.approx(std)
    cascade = Cascade.load(out)
    assert isinstance(cascade.vae, NanoVAE)
    assert cascade.settings().num_steps == 2
