from __future__ import annotations

import math

import pytest
import torch
from einops import rearrange
from torch import nn

from gvr_core.attention import AttentionConfig, TokenGrid, full_attention
from gvr_core.models.blocks import Attention, Block, Head, TokenContext, sinusoid
from gvr_core.models.rope import rotary_table

GRID = TokenGrid(frames=3, references=1, height=2, width=3)


def layout(head_dim: int, dense=full_attention) -> TokenContext:
    rotary = rotary_table(head_dim, [0, 1, 2, 20], GRID.height, GRID.width, device=torch.device("cpu"))
    return TokenContext(grid=GRID, rotary=rotary, attention=AttentionConfig(), dense=dense)


def block(seed: int = 0, **options) -> Block:
    options = {"has_text": True, "cross_attn_norm": True, "spatial_attention": False, "operations": nn} | options
    module = Block(16, 24, 2, 1e-6, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator).mul_(0.3)
    return module


def inputs(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = (2, GRID.length, 16), (2, 6, 16), (2, 5, 16)
    return [torch.randn(*shape, generator=generator).to(dtype) for shape in shapes]


def test_sinusoid_is_cosines_then_sines():
    features = sinusoid(torch.tensor([0.0, 437.5]), 8)
    for row, position in enumerate((0.0, 437.5)):
        for i in range(4):
            angle = position * 10000 ** (-i / 4)
            assert features[row, i].item() == pytest.approx(math.cos(angle), abs=1e-4)
            assert features[row, 4 + i].item() == pytest.approx(math.sin(angle), abs=1e-4)


def test_frames_do_not_meet_without_the_3d_attention():
    module = block(spatial_attention=True)
    x, time, text = inputs()
    changed = x.clone()
    changed[:, GRID.frame_length : 2 * GRID.frame_length] *= -1
    with torch.no_grad():
        nn.init.zeros_(module.self_attn.o.weight)
        difference = module(changed, time, text, layout(8)) - module(x, time, text, layout(8))
    frames = rearrange(difference, "b (t n) d -> t (b n d)", n=GRID.frame_length).abs().amax(1)
    assert frames[1] > 0.1
    assert frames[[0, 2, 3]].max() == 0


def test_spatial_attention_starts_as_nothing():
    fresh = Block(16, 24, 2, 1e-6, has_text=True, cross_attn_norm=True, spatial_attention=True, operations=nn)
    plain = block()
    missing = fresh.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert all(name.startswith("spatial_attn.") for name in missing)
    x, time, text = inputs()
    with torch.no_grad():
        assert torch.equal(fresh(x, time, text, layout(8)), plain(x, time, text, layout(8)))


def test_spatial_attention_connects_the_tokens_of_a_frame():
    module = block(spatial_attention=True)
    x, time, text = inputs()
    changed = x.clone()
    changed[:, 0] *= -1
    with torch.no_grad():
        nn.init.zeros_(module.self_attn.o.weight)
        difference = (module(changed, time, text, layout(8)) - module(x, time, text, layout(8))).abs().amax((0, 2))
    assert difference[: GRID.frame_length].min() > 1e-3
    assert difference[GRID.frame_length :].max() == 0


def test_spatial_attention_shares_the_gate_of_the_3d_attention():
    spatial, plain = block(spatial_attention=True), block()
    spatial.load_state_dict(plain.state_dict(), strict=False)
    x, time, text = inputs()
    with torch.no_grad():
        assert (spatial(x, time, text, layout(8)) - plain(x, time, text, layout(8))).abs().max() > 1e-2
        time[:, 2] = -plain.modulation[:, 2]
        assert torch.equal(spatial(x, time, text, layout(8)), plain(x, time, text, layout(8)))


def test_every_kind_of_attention_goes_through_dense():
    shapes = []

    def dense(q, k, v):
        shapes.append((tuple(q.shape), tuple(k.shape)))
        return full_attention(q, k, v)

    x, time, text = inputs()
    with torch.no_grad():
        y = block(spatial_attention=True)(x, time, text, layout(8, dense))
        assert torch.equal(y, block(spatial_attention=True)(x, time, text, layout(8)))
    assert shapes == [((8, 2, 6, 8),) * 2, ((2, 2, 24, 8),) * 2, ((2, 2, 24, 8), (2, 2, 5, 8))]


def test_class_free_block_has_no_text_parameters():
    module = block(has_text=False)
    assert not any(name.startswith(("norm3", "cross_attn")) for name, _ in module.named_parameters())
    x, time, _ = inputs()
    with torch.no_grad():
        assert torch.isfinite(module(x, time, None, layout(8))).all()


def test_norm3_is_the_identity_without_cross_attn_norm():
    assert {name for name, _ in block().named_parameters()} - {
        name for name, _ in block(cross_attn_norm=False).named_parameters()
    } == {"norm3.weight", "norm3.bias"}


def test_norms_and_gates_run_in_float32_for_bfloat16_tokens():
    head = Head(16, 8, 1e-6, operations=nn)
    seen = []
    head.norm.register_forward_hook(lambda module, args, output: seen.append((args[0].dtype, output.dtype)))
    x, time, text = inputs(torch.bfloat16)
    head.bfloat16()(x, time[:, 0])
    module = block().bfloat16()
    module.norm1.register_forward_hook(lambda module, args, output: seen.append((args[0].dtype, output.dtype)))
    assert module(x, time, text, layout(8)).dtype == torch.bfloat16
    assert seen == [(torch.float32, torch.float32)] * 2


def test_queries_and_keys_are_normalised_over_all_heads():
    attention = Attention(16, 2, 1e-6, operations=nn)
    x, _, text = inputs()
    with torch.no_grad():
        q, k, v = attention.project(x, text)
    for y in (q, k):
        mean_square = rearrange(y, "b heads n d -> b n (heads d)").pow(2).mean(-1)
        torch.testing.assert_close(mean_square, torch.ones_like(mean_square), rtol=1e-3, atol=0)
    assert v.shape == (2, 2, 5, 8)


def test_feed_forward_in_parts_equals_the_whole(monkeypatch):
    module = block()
    x, time, text = inputs()
    whole = module(x, time, text, layout(8))
    monkeypatch.setattr("gvr_core.models.blocks.FFN_TOKENS", 5)
    with torch.no_grad():
        parts = module(x, time, text, layout(8))
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
    assert torch.equal(module(x, time, text, layout(8)), whole)  # with gradients never cut
