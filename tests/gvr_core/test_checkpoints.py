"""Checkpoint files: round trip, header, and every way a file can be wrong."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gvr_core.checkpoints import Header, count_parameters, load_part, read_header, read_part, save_checkpoint
from gvr_core.models.vae import NanoVAE, NanoVAEConfig

CONFIG = {"space": "nano", "width": 8, "encoder_blocks": 1, "decoder_blocks": 1}


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return NanoVAE(NanoVAEConfig(**CONFIG))


@pytest.fixture
def file(vae, tmp_path):
    path = tmp_path / "vae.safetensors"
    header = Header(space="nano", parts={"vae": CONFIG}, statistics={"a": [1.0]}, training={"steps": 3})
    save_checkpoint(path, {"vae": vae}, header, dtype=torch.float32)
    return path


def rewrite(path, *, change=None, metadata=None, drop=()):
    """The file again with other tensors or another header."""
    with safe_open(path, framework="pt") as handle:
        own = handle.metadata()
    tensors = {n: t for n, t in load_file(path).items() if n not in drop}
    if change:
        change(tensors)
    save_file(tensors, path, metadata=own if metadata is None else metadata)


def test_what_was_saved_comes_back(vae, file):
    loaded = load_part(file, "vae")
    for name, tensor in vae.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    header = read_header(file)
    assert (header.space, header.parts, header.statistics, header.training, header.inference) == (
        "nano",
        {"vae": CONFIG},
        {"a": [1.0]},
        {"steps": 3},
        None,
    )
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


def test_bfloat16_halves_the_file_and_loads_as_float32(vae, file, tmp_path):
    half = tmp_path / "half.safetensors"
    save_checkpoint(half, {"vae": vae}, Header(space="nano", parts={"vae": CONFIG}), dtype=torch.bfloat16)
    assert half.stat().st_size < 0.6 * file.stat().st_size
    weight = load_part(half, "vae").linear_encoder.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, vae.linear_encoder.weight, rtol=2**-8, atol=0)


def test_nothing_is_left_of_a_failed_save(vae, tmp_path):
    with pytest.raises(ValueError, match="header describes"):
        save_checkpoint(
            tmp_path / "x.safetensors", {"dit": vae}, Header(space="nano", parts={"vae": CONFIG}), dtype=torch.float32
        )
    assert list(tmp_path.iterdir()) == []


def test_missing_foreign_and_cut_files_are_refused_in_words(file, tmp_path):
    with pytest.raises(ValueError, match="no such checkpoint"):
        read_header(tmp_path / "none.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(ValueError, match="no GVR header"):
        read_header(foreign)
    saved = tmp_path / "saved.safetensors"
    save_file({"model.diffusion_model.head.head.weight": torch.zeros(1)}, saved)
    with pytest.raises(ValueError, match=r"no GVR header: it was written by ModelSave .* load the original file"):
        read_header(saved)
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        read_header(text)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        read_header(file)


def test_headers_that_do_not_fit_are_refused(file):
    rewrite(file, metadata={"gvr": "{"})
    with pytest.raises(ValueError, match="header is damaged"):
        read_header(file)
    rewrite(file, metadata={"gvr": json.dumps({"format": 99})})
    with pytest.raises(ValueError, match=r"header format 99.*update"):
        read_header(file)
    rewrite(
        file, metadata={"gvr": json.dumps({"format": 1, "space": "nano", "inference": None, "parts": {}, "new": 1})}
    )
    with pytest.raises(ValueError, match="does not fit this version"):
        read_header(file)
    rewrite(file, metadata={"gvr": json.dumps({"format": 1, "space": "moon", "inference": None, "parts": {}})})
    with pytest.raises(ValueError, match="moon"):
        read_header(file)
    rewrite(file, metadata={"gvr": "[]"})
    with pytest.raises(ValueError, match="header format None"):
        read_header(file)
    for parts, text in (
        (None, "does not fit this version"),
        ({"vae": 3}, "does not fit this version"),
        ({"vae": {"width": 8}}, r"does not fit this version \('space'\)"),
        ({"vae": {**CONFIG, "space": "wan21"}}, "a vae of latent space wan21, expected .* of nano"),
        ({"engine": CONFIG}, "a engine of latent space nano, expected dit, upsampler, vae"),
    ):
        header = {"format": 1, "space": "nano", "inference": None, "parts": parts}
        rewrite(file, metadata={"gvr": json.dumps(header)})
        with pytest.raises(ValueError, match=text):
            read_header(file)


def test_configs_of_other_versions_are_refused(file):
    header = {"format": 1, "space": "nano", "inference": None, "parts": {"vae": {**CONFIG, "depth": 3}}}
    rewrite(file, metadata={"gvr": json.dumps(header)})
    with pytest.raises(ValueError, match=r"config of the vae does not fit this version .*depth.*: update"):
        load_part(file, "vae")


def test_parameters_are_counted(vae, file):
    assert count_parameters(file, "vae") == sum(p.numel() for p in vae.parameters())
    assert count_parameters(file, "dit") == 0


def test_tensors_that_do_not_fit_the_config_are_named(file):
    rewrite(file, drop={"vae.linear_encoder.bias"})
    with pytest.raises(ValueError, match=r"1 tensors missing \(linear_encoder.bias\)"):
        load_part(file, "vae")
    rewrite(file, change=lambda t: t.update({"vae.linear_encoder.bias": torch.zeros(47)}))
    with pytest.raises(ValueError, match=r"linear_encoder.bias has shape \(47,\), its config says \(48,\)"):
        load_part(file, "vae")
    rewrite(file, change=lambda t: t.update({"vae.linear_encoder.bias": torch.full((48,), float("nan"))}))
    with pytest.raises(ValueError, match=r"linear_encoder\.bias holds values that are not finite"):
        load_part(file, "vae")
    rewrite(file, change=lambda t: t.update({"vae.linear_encoder.bias": torch.zeros(48), "vae.more": torch.zeros(1)}))
    with pytest.raises(ValueError, match=r"1 tensors unknown \(more\)"):
        load_part(file, "vae")


def test_a_part_that_is_not_inside_is_said(file):
    with pytest.raises(ValueError, match="holds vae, but no dit"):
        load_part(file, "dit")
    assert read_part(file, "dit") == {}
