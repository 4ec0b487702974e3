"""Real tiny runs through the command line: exact resume, learning, the chain of stages, and trying a run first."""

import json

import pytest
import torch

from gvr_core.checkpoints import load_part, read_header
from train.checkpoint import latest_checkpoint
from train.cli import main
from train.config import load_config
from train.export import export
from train.fit_config import FitConfig
from train.loop import Run, fit
from train.memory_forecast import forecast, measure_pass
from train.tasks import make_task

from .checkpoint_tensors import checkpoint_tensors


def tiny(output, *overrides):
    return ["fit", "--config", "tiny", f"output={output}", "save_every=2", "trackers=[]", *overrides]


def test_the_tiny_preset_runs_stops_and_goes_on_bit_for_bit(tmp_path, capsys):
    assert main(tiny(tmp_path / "whole", "steps=4", "workers=2")) == 0
    assert capsys.readouterr().out.strip().endswith("step-00000004")
    # The learning rate of the second half hangs on the number of steps: stop by taking the newest checkpoint away.
    assert main(tiny(tmp_path / "parts", "steps=4")) == 0
    (tmp_path / "parts" / "step-00000004" / "run.json").unlink()
    assert main([*tiny(tmp_path / "parts", "steps=4"), "--resume", "latest"]) == 0
    whole, parts = (checkpoint_tensors(tmp_path / name / "step-00000004") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert main(tiny(tmp_path / "whole", "steps=4")) == 2
    assert "already holds a run" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_and_writes_nothing(tmp_path, capsys):
    output = tmp_path / "run"
    assert main([*tiny(output, "steps=7"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert not output.exists()
    assert "steps: 7" in said
    task = make_task(load_config(FitConfig, "tiny", []))
    trained = sum(p.numel() for p in task.model.parameters())
    assert f"{trained:,}" in said
    assert "2 of 2, 2 on each process" in said
    bars = [line for line in said.splitlines() if line.endswith("#")]
    assert len(bars) == 20
    assert sum(float(line.split()[1]) for line in bars) == pytest.approx(100, abs=1)
    assert "gradient norm" in said


def test_memory_is_counted_as_torch_does():
    model = torch.nn.Linear(1000, 500)
    average = forecast(model, [torch.nn.Linear(10, 10)], has_ema=True, activations=7)
    assert (average.weights, average.gradients, average.optimizer, average.ema) == (2002000, 2002000, 4004000, 2002000)
    assert average.frozen == 440
    assert average.total == 5 * 2002000 + 440 + 7
    halved = forecast(model, [], has_ema=False, activations=7, shards=2)
    assert (halved.weights, halved.ema) == (1001000, 0)

    kept = []

    def call():
        large = torch.ones(1_000_000)
        kept.append(torch.ones(250_000))
        del large

    assert measure_pass(call, torch.device("cpu")) == pytest.approx(4_000_000, rel=0.01)


def test_training_improves_on_the_linear_start(make_config):
    config = make_config("run", "steps=60", "optim.warmup_steps=5", "save_every=60", "optim.learning_rate=3e-3")
    task = make_task(config)
    task.start()
    groups = task.groups()

    @torch.no_grad()
    def later_loss():
        return sum(float(task.loss(groups[g])[0]) for g in range(500, 508))

    before = later_loss()
    state = checkpoint_tensors(fit(config))
    task.model.load_state_dict({name: state[f"model.{name}"] for name in task.model.state_dict()})
    assert later_loss() < 0.97 * before


def test_bf16_and_checkpointing_stay_close_to_float32(tmp_path):
    """Gradient checkpointing computes the same numbers; bfloat16 has 8 bits, and its gradient is near in direction."""

    def gradient(*overrides):
        config = load_config(
            FitConfig, "tiny", ["trackers=[]", f"output={tmp_path}", "data.tasks={t2v: 1}", *overrides]
        )
        torch.manual_seed(0)
        run = Run(config, make_task(config))
        torch.nn.init.normal_(run.model.dit.head.head.weight, std=0.02)
        loss, _ = run.module(run.task.groups()[0])
        loss.backward()
        return float(loss.detach()), torch.cat([p.grad.flatten() for p in run.model.parameters()])

    plain, checkpointed, bf16 = gradient(), gradient("gradient_checkpointing=true"), gradient("precision=bf16")
    assert checkpointed[0] == plain[0]
    assert torch.equal(checkpointed[1], plain[1])
    assert bf16[0] == pytest.approx(plain[0], rel=0.02)
    assert float(torch.cosine_similarity(bf16[1], plain[1], dim=0)) > 0.99


def test_the_stages_chain_to_a_cascade(make_config, tmp_path):
    fit(make_config("vae", "steps=2"))
    vae = tmp_path / "vae.safetensors"
    assert list(export(tmp_path / "vae", vae, dtype="float32").parts) == ["vae"]
    state = checkpoint_tensors(latest_checkpoint(tmp_path / "vae"))
    assert torch.equal(load_part(vae, "vae").linear_decoder.weight, state["ema.linear_decoder.weight"])

    small = ["data.crop=64", "model.hidden=8", "model.low_blocks=1", "model.high_blocks=1", f"objective.vae={vae}"]
    fit(make_config("up", *small, preset="nano_upsampler"))
    upsampler = tmp_path / "up.safetensors"
    std = export(tmp_path / "up", upsampler, dtype="float32").statistics["residual_std"]
    assert len(std) == 48
    assert min(std) > 0

    parts = [f"objective.vae={vae}", f"objective.upsampler={upsampler}", "steps=2"]
    assert main(tiny(tmp_path / "dit", *parts)) == 0
    out = tmp_path / "cascade.safetensors"
    include = ["--include", str(vae), "--include", str(upsampler)]
    assert main(["export", str(tmp_path / "dit"), str(out), *include]) == 0
    header = read_header(out)
    assert set(header.parts) == {"vae", "upsampler", "dit"}
    assert tuple(header.parts["dit"]["residual_std"]) == pytest.approx(std)


def test_the_doctor_examines(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert f"torch {torch.__version__}" in said
    assert "Nano: here" in said
    assert "torchvision:" in said


def test_what_a_line_of_the_log_has(tmp_path):
    assert main(tiny(tmp_path / "run", "steps=1", "validation.every=1", "validation.groups=1")) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    step = {"step", "loss", "norm", "learning_rate", "seconds", "samples_per_second", "tokens_per_second", "mfu"}
    assert step <= lines[0].keys()
    assert {"validation/loss", "validation/loss_0.2", "validation/psnr"} <= lines[1].keys()
    assert list((tmp_path / "run" / "validation").glob("*.mp4"))
