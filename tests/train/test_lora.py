"""Adapters: nothing changes before training, only they and the new parts are trained and stored, merging is exact."""

import pytest
import torch
from torch import nn

from gvr_core.attention import AttentionConfig
from gvr_core.models.dit import DiT
from gvr_core.models.upsampler import LatentUpsampler, UpsamplerConfig
from gvr_core.references import ReferenceRanges

peft = pytest.importorskip("peft", reason="adapters are peft's: install it")

from train.fit_config import LoraConfig  # noqa: E402
from train.lora import adapted_layers, adapter_tensors, add_adapters, merge_adapters, remove_adapters  # noqa: E402

CASCADE = {
    "space": "wan21",
    "latent_channels": 16,
    "condition_channels": 16,
    "dim": 32,
    "ffn_dim": 48,
    "num_heads": 2,
    "num_layers": 2,
    "freq_dim": 16,
    "text_dim": 8,
    "patch_size": (1, 2, 2),
    "eps": 1e-6,
    "cross_attn_norm": True,
    "spatial_attention": True,
    "noise_embedding": True,
    "attention": AttentionConfig(),
    "reference_ranges": ReferenceRanges(),
    "residual_std": None,
}
LORA = LoraConfig(rank=4, alpha=2.0)


class Parts(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dit = DiT(config)
        self.upsampler = LatentUpsampler(UpsamplerConfig(space="wan21", hidden=4, low_blocks=1, high_blocks=1))


@pytest.fixture
def parts(tiny_dit_config):
    """Function: the same random model every time."""

    def make():
        torch.manual_seed(0)
        model = Parts(tiny_dit_config(**CASCADE))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.2)
        return model

    return make


def result(model, autocast=False):
    source = torch.Generator().manual_seed(1)
    x, condition, references = (torch.randn(2, 16, t, 4, 6, generator=source) for t in (3, 3, 1))
    text = torch.randn(2, 5, 8, generator=source)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        return model.dit(
            x,
            torch.tensor([300.0, 800.0]),
            text,
            condition=condition,
            noise_level=0.4,
            references=references,
            reference_times=[20],
        )


def stir(model):
    """Trained parameters away from their start, as training would."""
    source = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=source))


def test_adapters_change_nothing_before_training(parts):
    model, plain = parts(), parts()
    add_adapters(model, LORA)
    assert len(list(adapted_layers(model.dit))) == 2 * len(LORA.targets)
    assert torch.equal(result(model), result(plain))


def is_trained(name):
    new = ("patch_embedding.", "noise_embedding.", ".spatial_attn.")
    return name.startswith("upsampler.") or ".lora_" in name or any(part in name for part in new)


def test_only_adapters_and_new_parts_are_trained_and_stored(parts):
    model = parts()
    add_adapters(model, LORA)
    stir(model)
    (result(model).square().mean() + sum(p.square().sum() for p in model.upsampler.parameters())).backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == is_trained(name)
        assert (parameter.grad is not None) == is_trained(name)
        if parameter.grad is not None:
            assert parameter.grad.abs().max() > 0
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters() if is_trained(name)}
    assert all(".base_layer." not in name for name in nn.ModuleList([model]).state_dict())  # also as part of another


def test_merging_gives_the_same_function_and_the_plain_names(parts):
    model = parts()
    add_adapters(model, LORA)
    stir(model)
    expected = result(model).detach()
    assert (expected - result(parts())).abs().max() > 1e-2
    merge_adapters(model)
    torch.testing.assert_close(result(model), expected, rtol=0, atol=1e-5)
    assert set(model.dit.state_dict()) == set(parts().dit.state_dict())


def test_a_merged_weight_is_base_plus_scaled_product(parts):
    model = parts()
    add_adapters(model, LORA)
    stir(model)
    tensors = adapter_tensors(model.dit)
    name = "blocks.1.ffn.2"
    up, down = tensors[f"{name}.lora_B.weight"], tensors[f"{name}.lora_A.weight"]
    assert (up.shape, down.shape) == ((32, 4), (4, 48))
    expected = parts().dit.get_submodule(name).weight + float(tensors[f"{name}.alpha"]) / 4 * up @ down
    merge_adapters(model)
    torch.testing.assert_close(model.dit.get_submodule(name).weight, expected, rtol=0, atol=1e-6)


def test_removing_leaves_the_base(parts):
    model, plain = parts(), parts()
    add_adapters(model, LORA)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.normal_()
    remove_adapters(model)
    assert torch.equal(result(model), result(plain))


def test_a_bfloat16_base_is_the_same_under_autocast(parts):
    half, whole = parts(), parts()
    add_adapters(half, LORA, bf16_base=True)
    torch.manual_seed(3)
    add_adapters(whole, LORA)
    whole.load_state_dict(half.state_dict(), strict=False)
    assert half.dit.blocks[0].self_attn.q.base_layer.weight.dtype == torch.bfloat16
    assert all(p.dtype == torch.float32 for p in half.parameters() if p.requires_grad)
    for model in (half, whole):
        stir(model)
    assert torch.equal(result(half, autocast=True), result(whole, autocast=True))


def test_unknown_targets_are_told(parts):
    with pytest.raises(
        ValueError, match=r"'self_attn\.query', which no block of this model has: did you mean self_attn"
    ):
        add_adapters(parts(), LoraConfig(targets=("self_attn.query",)))
