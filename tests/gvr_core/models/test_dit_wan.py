"""The DiT with Wan's weights is Wan, and stays it while it grows into a cascade."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from gvr_core.models.dit import DiT, grow_patch_embedding
from gvr_core.models.dit_config import DiTConfig

from .small_dit import CASCADE, PLAIN, TIMESTEP, generator, latent, randomised, text


def diffusers_name(name: str) -> str:
    """Wan's name of a parameter as diffusers calls it."""
    exact = {
        "text_embedding.0": "condition_embedder.text_embedder.linear_1",
        "text_embedding.2": "condition_embedder.text_embedder.linear_2",
        "time_embedding.0": "condition_embedder.time_embedder.linear_1",
        "time_embedding.2": "condition_embedder.time_embedder.linear_2",
        "time_projection.1": "condition_embedder.time_proj",
        "head.head": "proj_out",
        "head.modulation": "scale_shift_table",
    }
    for ours, theirs in exact.items():
        name = name.replace(ours, theirs)
    for ours, theirs in {
        ".norm3.": ".norm2.",
        ".modulation": ".scale_shift_table",
        ".self_attn.": ".attn1.",
        ".cross_attn.": ".attn2.",
        ".ffn.0.": ".ffn.net.0.proj.",
        ".ffn.2.": ".ffn.net.2.",
        ".q.": ".to_q.",
        ".k.": ".to_k.",
        ".v.": ".to_v.",
        ".o.": ".to_out.0.",
    }.items():
        name = name.replace(ours, theirs)
    return name


@pytest.fixture(scope="module")
def wan_pair() -> tuple[DiT, nn.Module]:
    diffusers = pytest.importorskip("diffusers", reason="equality with Wan is checked against diffusers: install it")
    ours = randomised(DiT(replace(PLAIN, dim=256, ffn_dim=320, num_layers=3, freq_dim=64)))
    theirs = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=128,
        in_channels=16,
        out_channels=16,
        text_dim=24,
        freq_dim=64,
        ffn_dim=320,
        num_layers=3,
        cross_attn_norm=True,
        eps=1e-6,
    )
    theirs.load_state_dict({diffusers_name(name): value for name, value in ours.state_dict().items()}, strict=True)
    return ours, theirs.eval()


@pytest.mark.parametrize(("t", "h", "w", "n"), [(1, 2, 2, 1), (3, 4, 6, 7), (2, 8, 2, 16), (5, 6, 10, 3)])
def test_equals_wan_of_diffusers(wan_pair, t, h, w, n):
    ours, theirs = wan_pair
    x, context = latent(t=t, h=h, w=w), text(n=n)
    with torch.no_grad():
        expected = theirs(x, TIMESTEP, context, return_dict=False)[0]
        result = ours(x, TIMESTEP, context)
    assert expected.std() > 0.1
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)


def test_bfloat16_is_as_close_to_float32_as_diffusers(wan_pair):
    ours, theirs = wan_pair
    x, context = latent(), text()
    with torch.no_grad():
        exact = ours(x, TIMESTEP, context)
        state = {name: value.bfloat16() for name, value in ours.state_dict().items()}
        low = DiT(ours.config, dtype=torch.bfloat16)
        low.load_state_dict(state)
        low_diffusers = type(theirs).from_config(theirs.config).bfloat16()
        low_diffusers.load_state_dict({diffusers_name(name): value for name, value in state.items()})
        result = low(x.bfloat16(), TIMESTEP, context.bfloat16())
        other = low_diffusers(x.bfloat16(), TIMESTEP, context.bfloat16(), return_dict=False)[0]
    assert result.dtype == torch.bfloat16
    assert (result - exact).std() < 1.2 * (other - exact).std()
    assert (result - exact).std() < 0.03 * exact.std()


def test_wan_1_3b_has_its_parameters():
    config = replace(PLAIN, dim=1536, ffn_dim=8960, num_heads=12, num_layers=30, freq_dim=256, text_dim=4096)
    state = DiT(config, device="meta").state_dict()
    shapes = {
        "patch_embedding.weight": (1536, 16, 1, 2, 2),
        "text_embedding.0.weight": (1536, 4096),
        "text_embedding.2.weight": (1536, 1536),
        "time_embedding.0.weight": (1536, 256),
        "time_embedding.2.weight": (1536, 1536),
        "time_projection.1.weight": (9216, 1536),
        "head.head.weight": (64, 1536),
    }
    for block in range(30):
        for attention in ("self_attn", "cross_attn"):
            shapes |= {f"blocks.{block}.{attention}.{name}.weight": (1536, 1536) for name in "qkvo"}
        shapes[f"blocks.{block}.norm3.weight"] = (1536,)
        shapes[f"blocks.{block}.ffn.0.weight"] = (8960, 1536)
        shapes[f"blocks.{block}.ffn.2.weight"] = (1536, 8960)
    shapes |= {name.replace(".weight", ".bias"): shape[:1] for name, shape in shapes.items()}
    for block in range(30):
        shapes[f"blocks.{block}.modulation"] = (1, 6, 1536)
        for attention in ("self_attn", "cross_attn"):
            shapes |= {f"blocks.{block}.{attention}.norm_{name}.weight": (1536,) for name in "qk"}
    shapes["head.modulation"] = (1, 2, 1536)
    assert {name: tuple(value.shape) for name, value in state.items()} == shapes
    assert len(shapes) == 825
    assert sum(value.numel() for value in state.values()) == 1_418_996_800


def grown_from(base: DiT, config: DiTConfig) -> DiT:
    """A cascade with the weights of a plain model: what training from Wan starts with."""
    model = DiT(config).eval()
    state = base.state_dict()
    weight = grow_patch_embedding(state["patch_embedding.weight"], config.in_channels)
    result = model.load_state_dict(state | {"patch_embedding.weight": weight}, strict=False)
    assert not result.unexpected_keys
    assert all(name.startswith("noise_embedding.") or ".spatial_attn." in name for name in result.missing_keys)
    return model


def test_grown_model_equals_its_base_until_trained():
    base = randomised(DiT(PLAIN))
    grown = grown_from(base, replace(CASCADE, spatial_attention=True))
    x, context, condition = latent(), text(), latent(seed=5)
    with torch.no_grad():
        expected = base(x, TIMESTEP, context)
        for inputs in (
            {},
            {"condition": condition},
            {"condition": condition, "noise_level": 0.6},
            {"condition": 10 * condition, "noise_level": torch.tensor([0.0, 1.0])},
        ):
            torch.testing.assert_close(grown(x, TIMESTEP, context, **inputs), expected, rtol=0, atol=1e-5)


def test_new_parts_of_a_grown_model_get_gradients():
    grown = grown_from(randomised(DiT(PLAIN)), replace(CASCADE, spatial_attention=True))
    grown(latent(), TIMESTEP, text(), condition=latent(seed=5), noise_level=0.4).pow(2).sum().backward()
    assert grown.patch_embedding.weight.grad[:, 16:].abs().max() > 0
    assert grown.noise_embedding[2].weight.grad.abs().max() > 0
    assert grown.blocks[0].spatial_attn.o.weight.grad.abs().max() > 0


@pytest.mark.parametrize("channels", [16, 20])
def test_grow_patch_embedding_appends_zeros(channels):
    weight = torch.randn(8, 16, 1, 2, 2, generator=generator(0))
    grown = grow_patch_embedding(weight, channels)
    assert torch.equal(grown[:, :16], weight)
    assert grown.shape == (8, channels, 1, 2, 2)
    assert not grown[:, 16:].any()
    with pytest.raises(ValueError, match="has 16 input channels, cannot grow it to 8"):
        grow_patch_embedding(weight, 8)
