"""Counts against the published and hand-made figures, PyTorch's own counter, and what the attention really asks for."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from gvr_core.attention import AttentionConfig, TokenGrid, attend
from gvr_core.bench.counts import (
    attention_cost,
    block_cost,
    count_block,
    count_block_parameters,
    count_outside,
    count_parameters,
    model_cost,
    rest_cost,
)
from gvr_core.bench.sizes import model_config, with_form
from gvr_core.models.dit import DiT
from gvr_core.references import time_indices

WAN = model_config("1.3b")
SHORT = TokenGrid(frames=5, references=0, height=68, width=120)  # 17 frames at 1088 x 1920
LONG = TokenGrid(frames=20, references=0, height=68, width=120)  # 77 frames
FULL, UNITS, SPARSE = (with_form(WAN, form) for form in ("full", "units", "sparse"))


def matmul_attention(q, k, v):
    """Dense attention of products that FlopCounterMode knows; it does not count the CPU's fused kernel."""
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v


def giga(flops):
    return round(flops / 1e9, 1)


@pytest.mark.parametrize(
    ("grid", "full", "ideal", "executed", "own", "scores", "projections", "text", "ffn"),
    [
        (SHORT, 10227.5, 54.1, 57.3, 28.7, 0.5, 770.1, 518.2, 2246.0),
        (LONG, 163640.8, 216.6, 229.3, 114.7, 7.9, 3080.3, 2058.4, 8984.2),
    ],
)
def test_the_figures_per_layer_of_the_attention_report(
    grid, full, ideal, executed, own, scores, projections, text, ffn
):
    dense, sparse = count_block(FULL, grid), count_block(SPARSE, grid)
    assert giga(dense.attention) == full
    assert dense.overlap == dense.selection == 0
    assert (giga(sparse.attention), giga(sparse.attention + sparse.overlap)) == (ideal, executed)
    assert giga(sparse.selection) == scores
    assert (giga(sparse.projections), giga(sparse.text), giga(sparse.ffn)) == (projections, text, ffn)
    alone = count_block(replace(WAN, attention=AttentionConfig(kind="sparse_local", top_k=0)), grid)
    assert giga(alone.attention + alone.overlap) == own
    assert sparse.attention / (sparse.attention + sparse.overlap) == pytest.approx(68 / 72)


def test_units_cost_less_in_shifted_layers():
    assert giga(count_block(UNITS, LONG, layer=0).attention) == 40910.2
    assert giga(count_block(UNITS, LONG, layer=1).attention) == 36001.0
    inside = replace(WAN, attention=AttentionConfig(kind="sparse_local", unit=5))
    assert giga(count_block(inside, LONG).selection) == 2.0


@pytest.mark.parametrize(
    ("config", "grid", "tera"),
    [(FULL, SHORT, 412.9), (FULL, LONG, 5332.9), (SPARSE, SHORT, 107.8), (SPARSE, LONG, 430.8)],
)
def test_the_figures_per_forward_of_the_attention_report(config, grid, tera):
    blocks = sum(count_block(config, grid, layer).executed for layer in range(30))
    assert round(blocks / 1e12, 1) == tera
    total = model_cost(config, grid, 4)
    assert total.executed == blocks + count_outside(config, grid)
    assert total.executed == pytest.approx(blocks, rel=0.01)  # the rest of a forward is next to nothing


def test_the_papers_80_percent_is_76_6_percent_of_a_block():
    paper_full, paper_sparse = 1612.5, 377.1
    assert 1 - paper_sparse / paper_full == pytest.approx(0.766, abs=5e-4)
    full, sparse = (count_block(replace(config, text_dim=0), SHORT) for config in (FULL, SPARSE))
    assert full.executed / (sparse.rest + sparse.attention) == pytest.approx(paper_full / paper_sparse, rel=0.01)
    assert 1 - (sparse.rest + sparse.attention) / full.executed == pytest.approx(0.766, abs=0.005)
    assert full.attention / sparse.attention == pytest.approx(40800 / 216)  # of attention alone it is far more


@pytest.mark.parametrize(
    "attention",
    [
        AttentionConfig(),
        AttentionConfig(unit=2, unit_shift=1),
        AttentionConfig(kind="sparse_local", window=(2, 3)),
        AttentionConfig(kind="sparse_local", window=(3, 4), top_k=2, unit=2, unit_shift=1, window_shift=True),
        AttentionConfig(kind="sparse_local", window=(9, 12), top_k=50),
        AttentionConfig(kind="sparse_local", window=(2, 3), unit=2, unit_shift=1, dense_layers=(1,)),
    ],
)
@pytest.mark.parametrize("references", [0, 1, 2])
@pytest.mark.parametrize("changes", [{}, {"text_dim": 0, "spatial_attention": True, "noise_embedding": False}])
def test_a_forward_equals_pytorchs_own_count(small_size, attention, references, changes):
    size = small_size(frames=13, references=references, attention=attention, **changes)
    config, grid = size.config, size.grid
    dit = DiT(config, dense=matmul_attention).requires_grad_(False)
    x = torch.randn(1, 16, grid.frames, grid.height * 2, grid.width * 2)
    arguments = {}
    if references:
        arguments["references"] = torch.randn(1, 16, references, grid.height * 2, grid.width * 2)
        arguments["reference_times"] = time_indices(grid.frames, references, 0, config.reference_ranges)[1]
    context = torch.randn(1, 512, config.text_dim) if config.text_dim else None
    with FlopCounterMode(display=False) as counter:
        dit(x, 500.0, context, condition=x, **arguments)
    assert counter.get_total_flops() == model_cost(config, grid, 4).executed


@settings(max_examples=60)
@given(st.data())
def test_the_pairs_are_those_that_the_attention_asks_for(data):
    number = st.integers(1, 6)
    grid = TokenGrid(
        frames=data.draw(number),
        references=data.draw(st.integers(0, 3)),
        height=data.draw(number),
        width=data.draw(number),
    )
    attention = AttentionConfig(
        kind=data.draw(st.sampled_from(("full", "sparse_local"))),
        window=(data.draw(number), data.draw(number)),
        top_k=data.draw(st.integers(0, 5)),
        unit=data.draw(st.sampled_from((0, 3))),
        window_shift=data.draw(st.booleans()),
    )
    layer = data.draw(st.integers(0, 1))
    config = replace(WAN, dim=8, num_heads=2, attention=attention)
    pairs = 0

    def dense(q, k, v):
        nonlocal pairs
        pairs += q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2]
        return q

    x = torch.zeros(1, 2, grid.length, 4)
    attend(x, x, x, grid=grid, layer=layer, config=attention, dense=dense)
    block = count_block(config, grid, layer)
    assert block.attention + block.overlap == 4 * pairs * config.head_dim
    assert block.useful <= block.executed


@pytest.mark.parametrize("name", ["1.3b", "14b", "nano"])
def test_parameters_are_those_of_the_model(name):
    config = model_config(name)
    for changed in (config, replace(config, spatial_attention=True, cross_attn_norm=False, noise_embedding=False)):
        dit = DiT(changed, device="meta")
        assert count_parameters(changed) == sum(p.numel() for p in dit.parameters())
        assert count_block_parameters(changed) == sum(p.numel() for p in dit.blocks[0].parameters())


def test_1_3b_is_the_size_that_is_called_so():
    assert count_parameters(WAN) == pytest.approx(1.42e9, rel=0.005)


def test_bytes_are_inputs_weights_and_outputs_once():
    n, dim = SHORT.length, 1536
    assert attention_cost(SPARSE, SHORT, 2).moved == 4 * n * dim * 2
    weights = count_block_parameters(WAN)
    assert rest_cost(WAN, SHORT, 4).moved == block_cost(WAN, SHORT, 4).moved == 4 * (weights + 2 * n * dim)
    assert model_cost(WAN, SHORT, 4).moved > 4 * count_parameters(WAN)


def test_costs_add_up():
    attention, rest = attention_cost(SPARSE, SHORT, 4), rest_cost(SPARSE, SHORT, 4)
    both, block = attention + rest, block_cost(SPARSE, SHORT, 4)
    assert (both.useful, both.executed) == (block.useful, block.executed)
    assert both.moved == attention.moved + rest.moved
