"""Wan T2V weights as a start: the grown model is the base model, under every prefix and in shards."""

import json

import pytest
import torch
from safetensors.torch import save_file

from gvr_core.attention import AttentionConfig
from gvr_core.models.dit import DiT
from gvr_core.references import ReferenceRanges
from gvr_core.wan_weights import initialize_from_wan, read_wan_weights

BASE = {
    "space": "wan21",
    "latent_channels": 16,
    "condition_channels": 0,
    "dim": 24,
    "ffn_dim": 32,
    "num_heads": 2,
    "num_layers": 2,
    "freq_dim": 16,
    "text_dim": 8,
    "patch_size": (1, 2, 2),
    "eps": 1e-6,
    "cross_attn_norm": True,
    "spatial_attention": False,
    "noise_embedding": False,
    "attention": AttentionConfig(),
    "reference_ranges": ReferenceRanges(),
    "residual_std": None,
}


@pytest.fixture(scope="module")
def config(tiny_dit_config):
    return lambda **changes: tiny_dit_config(**{**BASE, **changes})


@pytest.fixture(scope="module")
def base(config):
    torch.manual_seed(0)
    dit = DiT(config())
    for parameter in dit.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return dit.requires_grad_(False)


@pytest.fixture
def cascade(config):
    torch.manual_seed(1)
    return DiT(config(condition_channels=16, noise_embedding=True, spatial_attention=True)).requires_grad_(False)


@pytest.mark.parametrize("prefix", ["", "model.", "model.diffusion_model."])
def test_the_grown_model_equals_the_base_model(base, cascade, tmp_path, prefix):
    file = tmp_path / "wan.safetensors"
    extra = {"first_stage.weight": torch.zeros(1)} if prefix else {}
    save_file({**{prefix + n: t for n, t in base.state_dict().items()}, **extra}, file)
    new = initialize_from_wan(cascade, file)
    assert all(name.startswith("noise_embedding.") or ".spatial_attn." in name for name in new)
    x, context, condition = torch.randn(2, 16, 3, 4, 6), torch.randn(2, 5, 8), torch.randn(2, 16, 3, 4, 6)
    expected = base(x, 500.0, context)
    result = cascade(x, 500.0, context, condition=condition, noise_level=0.4)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_shards_are_read_through_their_index_or_folder(base, tmp_path):
    state = base.state_dict()
    names = sorted(state)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({n: state[n] for n in part}, tmp_path / file)
    index = tmp_path / "wan.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {n: file for file, part in halves.items() for n in part}}))
    for path in (index, tmp_path):
        read = read_wan_weights(path)
        assert sorted(read) == names
        assert all(torch.equal(read[n], state[n]) for n in names)


def test_what_does_not_fit_is_said(base, cascade, config, tmp_path):
    with pytest.raises(ValueError, match="no such weights"):
        read_wan_weights(tmp_path / "none.safetensors")
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        read_wan_weights(text)
    index = tmp_path / "x.safetensors.index.json"
    for damaged in ("{", "{}", "[]"):
        index.write_text(damaged)
        with pytest.raises(ValueError, match="not an index of weights"):
            read_wan_weights(index)
    index.unlink()
    diffusers = tmp_path / "diffusers.safetensors"
    save_file({"proj_out.weight": torch.zeros(1)}, diffusers)
    with pytest.raises(ValueError, match="diffusers' names"):
        read_wan_weights(diffusers)
    state = dict(base.state_dict())
    state.pop("blocks.1.ffn.0.bias")
    missing = tmp_path / "missing.safetensors"
    save_file(state, missing)
    with pytest.raises(ValueError, match=r"1 tensors missing \(blocks\.1\.ffn\.0\.bias\)"):
        initialize_from_wan(cascade, missing)
    whole = tmp_path / "whole.safetensors"
    save_file(base.state_dict(), whole)
    with pytest.raises(ValueError, match=r"has shape .* this model has"):
        initialize_from_wan(DiT(config(ffn_dim=48)), whole)
