"""A run as files: the header says what training was, adapters add up, tables come along."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gvr_core.cascade import Cascade, nano_path
from gvr_core.checkpoints import load_part, read_cascade_header, read_header, read_part
from train.checkpoint import latest_checkpoint, tensor_shapes
from train.cli import main
from train.export import export
from train.export.cascade_file import DETAIL_TABLE
from train.export.lora_files import export_base, export_lora
from train.fit_config import load_fit_config
from train.loop import fit

TABLE = {"sigmas": [1.0, 0.5, 0.0], "gains": [0.75, 0.25]}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Function: a finished run of the preset `tiny` in a folder of that name, with overrides."""
    root = tmp_path_factory.mktemp("runs")

    def run(name, *overrides):
        small = [f"output={root / name}", f"data.cache={root / 'cache'}", "steps=2", "batch=2", "micro_batch=0"]
        return fit(load_fit_config("tiny", [*small, "save_every=2", "trackers=[]", *overrides])).parent

    return run


@pytest.fixture(scope="module")
def run(tiny):
    return tiny("all")


def test_the_header_follows_from_the_config(run, tmp_path):
    out = tmp_path / "out.safetensors"
    header = export(run, out, dtype="float32")
    assert header == read_cascade_header(out)
    inference = header.inference
    assert (inference.num_steps, inference.solver, inference.shift, inference.start) == (50, "pndm", 1.0, 1.0)
    assert (inference.noise_aug, inference.noise_aug_range) == (0.0, (0.0, 0.3))
    assert (inference.scales, inference.references) == ((2.0,), True)
    assert header.training["dit"] | {"version": 0} == {"steps": 2, "seed": 0, "batch": 2, "ema": True, "version": 0}
    names = set(load_file(out))
    assert {
        "patch_embedding.weight",
        "blocks.0.self_attn.q.weight",
        "head.modulation",
        "noise_embedding.2.bias",
    } <= names


def test_the_average_is_the_default_where_there_is_one(run, tiny, tmp_path):
    files = {name: tmp_path / f"{name}.safetensors" for name in ("default", "average", "last")}
    for (_, file), ema in zip(files.items(), (None, True, False), strict=True):
        export(run, file, dtype="float32", ema=ema)
    default, average, last = (load_file(file) for file in files.values())
    assert all(torch.equal(default[name], average[name]) for name in default)
    assert any(not torch.equal(default[name], last[name]) for name in default)
    without = tiny("no_average", "optim.ema_decay=0")
    assert not export(without, files["default"]).training["dit"]["ema"]
    with pytest.raises(ValueError, match="take the last weights instead"):
        export(without, files["default"], ema=True)


def test_other_files_are_included_and_their_absence_is_told(run, tmp_path, caplog):
    parts = tmp_path / "parts.safetensors"
    from gvr_core.checkpoints import Header, save_checkpoint

    modules = {name: load_part(nano_path(), name) for name in ("vae", "upsampler")}
    configs = {name: read_header(nano_path()).parts[name] for name in modules}
    save_checkpoint(parts, modules, Header(space="nano", parts=configs), dtype=torch.bfloat16)
    export(run, tmp_path / "bare.safetensors")
    assert "trained behind the upsampler in nano: add --include" in caplog.text
    out = tmp_path / "whole.safetensors"
    export(run, out, include=[parts])
    cascade = Cascade.load(out)
    assert cascade.vae is not None
    assert cascade.upsampler is not None
    with pytest.raises(ValueError, match="include it once"):
        export(run, out, include=[parts, parts])


def test_a_part_the_run_has_trained_is_its_own(run, tmp_path):
    out, bare = tmp_path / "whole.safetensors", tmp_path / "bare.safetensors"
    export(run, out, include=[Path("nano")])
    export(run, bare)
    whole, own, nano = load_file(out), load_file(bare), load_file(nano_path())
    assert all(torch.equal(whole[name], tensor) for name, tensor in own.items())
    assert all(torch.equal(whole[name], nano[name]) for name in whole if name.startswith(("vae.", "upsampler.")))
    assert any(name.startswith("vae.") for name in whole)


def test_inference_settings_can_be_given_in_part(run, tmp_path, capsys):
    settings = tmp_path / "settings.yaml"
    settings.write_text("num_steps: 8\nsolver: euler\n")
    out = tmp_path / "out.safetensors"
    assert main(["export", str(run), str(out), "--inference", str(settings), "--dtype", "float16"]) == 0
    assert "out.safetensors: dit in latent space nano" in capsys.readouterr().out
    assert (read_header(out).inference.num_steps, read_header(out).inference.shift) == (8, 1.0)
    assert load_file(out)["patch_embedding.weight"].dtype == torch.float16
    settings.write_text("num_step: 8\n")
    assert main(["export", str(run), str(out), "--inference", str(settings)]) == 2
    assert "did you mean inference.num_steps" in capsys.readouterr().err
    assert main(["export", str(tmp_path), str(out)]) == 2
    assert "no finished checkpoint" in capsys.readouterr().err


def test_a_measured_table_comes_along(run, clips, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    (run / DETAIL_TABLE).write_text(json.dumps(TABLE))
    export(run, out)
    assert read_header(out).statistics["detail_table"] == TABLE
    command = ["profile-timesteps", str(run), "--data", str(clips), "--videos", "1", "--steps", "3"]
    assert main([*command, "--short-side", "64", "--frames", "5"]) == 0
    assert "1 videos" in capsys.readouterr().out
    measured = json.loads((run / DETAIL_TABLE).read_text())
    assert len(measured["gains"]) == 3
    (run / DETAIL_TABLE).unlink()


@pytest.fixture(scope="module")
def adapted(run, tiny, tmp_path_factory):
    """A run with adapters on the first one, and the cascade it began with."""
    pytest.importorskip("peft", reason="adapters are peft's: install it")
    start = tmp_path_factory.mktemp("start") / "start.safetensors"
    export(run, start, dtype="float32")
    lora = [f"init_from={start}", "trainable=lora", "lora.rank=4", "lora.targets=[self_attn.q, ffn.2]"]
    return tiny("lora", *lora, "optim.learning_rate=0.05"), start


def test_checkpoints_of_adapters_are_small(adapted, run):
    names, whole = (
        {name for name in tensor_shapes(latest_checkpoint(folder)) if name.startswith("model.")}
        for folder in (adapted[0], run)
    )
    assert len([name for name in names if ".lora_" in name]) == 2 * 2 * 2
    assert not [name for name in names if "ffn" in name and ".lora_" not in name]
    assert len(names) < len(whole) / 2


def test_base_and_lora_are_the_merged_cascade(adapted, tmp_path):
    run, start = adapted
    merged, base, lora = (tmp_path / f"{name}.safetensors" for name in ("merged", "base", "lora"))
    export(run, merged, dtype="float32")
    export_base(run, base, dtype="float32")
    assert export_lora(run, lora, dtype="float32") == len(load_file(lora))
    expected, before, changes = read_part(merged, "dit"), read_part(base, "dit"), load_file(lora)
    began = read_part(start, "dit")
    assert all(
        torch.equal(before[name], began[name]) for name in began
    )  # where it began with a cascade, that is the base
    assert (expected["blocks.0.self_attn.q.weight"] - before["blocks.0.self_attn.q.weight"]).abs().max() > 1e-3
    for key, value in changes.items():
        name, _, kind = key.removeprefix("diffusion_model.").partition(".lora_A")
        if kind:
            up, alpha = changes[key.replace("lora_A", "lora_B")], changes[key.replace("lora_A.weight", "alpha")]
            before[f"{name}.weight"] += alpha / 4 * up @ value
        elif key.endswith(".diff"):
            before[key.removeprefix("diffusion_model.").replace(".diff", ".weight")] += value
        elif key.endswith(".diff_b"):
            before[key.removeprefix("diffusion_model.").replace(".diff_b", ".bias")] += value
    for name, tensor in expected.items():
        torch.testing.assert_close(before[name], tensor, rtol=0, atol=1e-6)
    assert read_header(base).training["dit"]["lora"] == "base"


def test_a_run_with_adapters_goes_on_as_if_it_had_not_stopped(adapted, tiny):
    _, start = adapted
    lora = [f"init_from={start}", "trainable=lora", "lora.rank=4", "steps=4", "save_every=2", "keep=4"]
    whole = tiny("whole", *lora)
    config = load_fit_config(
        "tiny",
        [f"output={whole}", f"data.cache={whole.parent / 'cache'}", "batch=2", "micro_batch=0", "trackers=[]", *lora],
    )
    before = export(whole, whole / "a.safetensors", dtype="float32")
    newest = latest_checkpoint(whole)
    newest.rename(whole / "kept")
    fit(config, resume="latest")
    assert latest_checkpoint(whole).name == newest.name
    assert export(whole, whole / "b.safetensors", dtype="float32") == before
    a, b = load_file(whole / "a.safetensors"), load_file(whole / "b.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_without_adapters_has_no_lora(run, tmp_path, capsys):
    assert main(["export", str(run), str(tmp_path / "out.safetensors"), "--lora"]) == 2
    assert "has no adapters: export it without" in capsys.readouterr().err
