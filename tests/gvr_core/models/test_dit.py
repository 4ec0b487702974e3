from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from gvr_core.attention import AttentionConfig, full_attention
from gvr_core.models.dit import DiT
from gvr_core.models.preconditioning import precondition

from .small_dit import CASCADE, PLAIN, RESIDUAL, TIMESTEP, generator, latent, randomised, text


def test_condition_and_its_noise_level_matter_once_trained():
    model = randomised(DiT(CASCADE))
    x, context, condition = latent(), text(), latent(seed=5)
    with torch.no_grad():
        base = model(x, TIMESTEP, context, condition=condition)
        assert torch.equal(base, model(x, TIMESTEP, context, condition=condition, noise_level=0.0))
        assert (base - model(x, TIMESTEP, context)).abs().max() > 1e-2
        assert (base - model(x, TIMESTEP, context, condition=condition, noise_level=0.5)).abs().max() > 1e-2


@pytest.mark.parametrize("config", [PLAIN, CASCADE, RESIDUAL], ids=["plain", "cascade", "residual"])
def test_references_influence_the_target_and_are_cut_off(config):
    model = randomised(DiT(config))
    x, context, references = latent(), text(), latent(seed=6, t=2)
    inputs = {"condition": latent(seed=5)} if config.condition_channels else {}
    with torch.no_grad():
        alone = model(x, TIMESTEP, context, **inputs)
        both = model(x, TIMESTEP, context, references=references, reference_times=[20, 30], **inputs)
        moved = model(x, TIMESTEP, context, references=references, reference_times=[20, 31], **inputs)
        swapped = model(x, TIMESTEP, context, references=references.flip(2), reference_times=[30, 20], **inputs)
    assert both.shape == x.shape
    assert (both - alone).abs().max() > 1e-2
    assert (both - moved).abs().max() > 1e-5
    torch.testing.assert_close(both, swapped, rtol=0, atol=1e-5)


def test_a_reference_right_after_the_target_is_another_frame_of_it():
    """Same tokens, same times: with the velocity of a longer clip, cut, as the independent truth."""
    model = randomised(DiT(PLAIN))
    clip, context = latent(t=5), text()
    with torch.no_grad():
        whole = model(clip, TIMESTEP, context)
        parts = model(clip[:, :, :3], TIMESTEP, context, references=clip[:, :, 3:], reference_times=[3, 4])
    torch.testing.assert_close(parts, whole[:, :, :3], rtol=0, atol=1e-5)


def test_reference_tokens_have_a_zero_condition():
    model = randomised(DiT(CASCADE))
    seen = []
    model.patch_embedding.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x, references, condition = latent(), latent(seed=6, t=2), latent(seed=5)
    with torch.no_grad():
        model(x, TIMESTEP, text(), condition=condition, references=references, reference_times=[20, 21])
    assert torch.equal(seen[0][:, :16], torch.cat([x, references], dim=2))
    assert torch.equal(seen[0][:, 16:], torch.cat([condition, torch.zeros_like(references)], dim=2))


def test_reference_tokens_of_a_residual_model_are_their_own_anchor():
    """What the patch embedding gets of a clean reference: residual zero, anchor the reference."""
    model = randomised(DiT(RESIDUAL))
    seen = []
    model.patch_embedding.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x, references, condition = latent(), latent(seed=6, t=2), latent(seed=5)
    with torch.no_grad():
        model(x, TIMESTEP, text(), condition=condition, references=references, reference_times=[20, 21])
    assert seen[0][:, :16, -2:].eq(0).all()
    assert torch.equal(seen[0][:, 16:, -2:], references)


def test_residual_model_is_its_network_behind_the_preconditioning():
    model = randomised(DiT(RESIDUAL))
    x, context, condition = latent(), text(), latent(seed=5)
    terms = precondition(x, condition, sigma=TIMESTEP / 1000, noise_level=0.3, residual_std=RESIDUAL.residual_std)
    network = DiT(CASCADE)
    network.load_state_dict(model.state_dict())
    residual, anchor = terms.network_input.chunk(2, dim=1)
    with torch.no_grad():
        expected = terms.velocity(network(residual, TIMESTEP, context, condition=anchor, noise_level=0.3))
        result = model(x, TIMESTEP, context, condition=condition, noise_level=0.3)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


def test_class_free_model():
    model = randomised(DiT(replace(RESIDUAL, text_dim=0)))
    assert not any("text" in name or "cross" in name or "norm3" in name for name in model.state_dict())
    with torch.no_grad():
        assert torch.isfinite(model(latent(), 500.0, None, condition=latent(seed=5))).all()


def test_initialized_model_predicts_nothing_yet_and_repeats_with_the_seed():
    model, again = DiT(replace(RESIDUAL, spatial_attention=True)), DiT(replace(RESIDUAL, spatial_attention=True))
    model.initialize(generator(3))
    again.initialize(generator(3))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    x, condition = latent(), latent(seed=5)
    terms = precondition(x, condition, sigma=TIMESTEP / 1000, noise_level=0.3, residual_std=RESIDUAL.residual_std)
    with torch.no_grad():
        velocity = model(x, TIMESTEP, text(), condition=condition, noise_level=0.3)
    torch.testing.assert_close(velocity, terms.velocity(torch.zeros_like(x)))
    assert model.blocks[0].modulation.std() > 0.1
    assert model.time_embedding[0].weight.std() < 0.03


@pytest.mark.parametrize(
    "attention", [AttentionConfig(), AttentionConfig(kind="sparse_local", window=(1, 2), unit=2, unit_shift=1)]
)
def test_checkpointed_gradients_are_bit_equal(attention):
    model = randomised(DiT(replace(CASCADE, spatial_attention=True, attention=attention)))
    gradients = []
    for model.gradient_checkpointing in (False, True):
        model.zero_grad()
        x = latent().requires_grad_()
        output = model(
            x, TIMESTEP, text(), condition=latent(seed=5), references=latent(seed=6, t=1), reference_times=[20]
        )
        output.pow(2).sum().backward()
        gradients.append([x.grad, *(parameter.grad.clone() for parameter in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_autocast_keeps_tokens_and_time_in_float32():
    model = randomised(DiT(RESIDUAL))
    seen = {}
    model.blocks[1].register_forward_pre_hook(lambda module, args: seen.update(tokens=args[0], time=args[1]))
    model.blocks[1].ffn[0].register_forward_hook(lambda module, args, output: seen.update(ffn=output))
    x, context, condition = latent(), text(), latent(seed=5)
    with torch.no_grad():
        exact = model(x, TIMESTEP, context, condition=condition)
        exact_time = seen["time"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = model(x, TIMESTEP, context, condition=condition)
    assert (seen["tokens"].dtype, seen["time"].dtype) == (torch.float32, torch.float32)
    assert seen["ffn"].dtype == torch.bfloat16
    assert torch.equal(seen["time"], exact_time)
    assert result.dtype == torch.float32
    assert (result - exact).std() < 0.03 * exact.std()


def test_operations_and_dense_of_a_host_are_used():
    made, calls = [], []

    class Operations:
        """As a host's: torch's layers under their names."""

    for name in ("Linear", "Conv3d", "LayerNorm", "RMSNorm"):
        layer = type(name, (getattr(nn, name),), {"__init__": lambda self, *a, **k: _record(self, made, *a, **k)})
        setattr(Operations, name, layer)

    def dense(q, k, v):
        calls.append(q.shape)
        return full_attention(q, k, v)

    model = DiT(replace(CASCADE, spatial_attention=True), operations=Operations, dtype=torch.float64, dense=dense)
    weights = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv3d, nn.LayerNorm, nn.RMSNorm))]
    assert len(made) == len(weights)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    model(latent().double(), TIMESTEP, text().double())
    assert len(calls) == 3 * PLAIN.num_layers


def test_host_may_create_weights_on_loading():
    class Linear(nn.Module):
        def __init__(self, *args, **kwargs):
            super().__init__()

    class Operations:
        Conv3d, LayerNorm, RMSNorm = nn.Conv3d, nn.LayerNorm, nn.RMSNorm

    Operations.Linear = Linear
    names = DiT(replace(CASCADE, spatial_attention=True), operations=Operations).state_dict()
    assert "noise_embedding.2.weight" not in names
    assert "head.modulation" in names


def _record(layer: nn.Module, made: list, *args, **kwargs) -> None:
    made.append(kwargs)
    super(type(layer), layer).__init__(*args, **kwargs)
