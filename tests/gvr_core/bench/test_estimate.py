"""The estimate gives back what it was calibrated with, and scales as the counts do."""

import json
from dataclasses import replace

import pytest

from gvr_core.attention import AttentionConfig, TokenGrid
from gvr_core.bench.counts import attention_cost, count_parameters, rest_cost
from gvr_core.bench.estimate import (
    Calibration,
    attention_seconds,
    block_extra_bytes,
    block_seconds,
    form_of,
    itemsize_of,
    model_bytes,
    model_seconds,
    needed_shares,
    rest_seconds,
    token_bytes,
)
from gvr_core.bench.limit import Rates, work_seconds
from gvr_core.bench.sizes import model_config, with_form, with_heads

GRID = TokenGrid(frames=20, references=0, height=68, width=120)
CALIBRATION = Calibration(
    machine="paper machine",
    dtype="bfloat16",
    rates=Rates(matmul_flops=1e14, copy_bytes_per_s=1e12),
    achieved={"full": 0.8, "units": 0.7, "sparse": 0.4, "rest": 0.6},
    extra_memory={"sparse": 13.0},
)
WAN = model_config("1.3b")


@pytest.mark.parametrize("form", ["full", "units", "sparse"])
def test_time_is_work_over_the_share_that_was_reached(form):
    config = with_form(WAN, form)
    attention = work_seconds(attention_cost(config, GRID, 2), CALIBRATION.rates) / CALIBRATION.achieved[form]
    rest = work_seconds(rest_cost(config, GRID, 2), CALIBRATION.rates) / 0.6
    assert attention_seconds(config, GRID, CALIBRATION) == pytest.approx(attention)
    assert rest_seconds(config, GRID, CALIBRATION) == pytest.approx(rest)
    assert block_seconds(config, GRID, CALIBRATION) == pytest.approx(attention + rest)
    assert model_seconds(config, GRID, CALIBRATION) == pytest.approx(
        30 * (attention + rest), rel=0.02 if form != "units" else 0.05
    )


@pytest.mark.parametrize("form", ["full", "sparse"])
def test_attention_is_linear_in_heads(form):
    one, twelve = (attention_seconds(with_heads(with_form(WAN, form), n, 128), GRID, CALIBRATION) for n in (1, 12))
    assert twelve == pytest.approx(12 * one)


def test_a_model_is_linear_in_layers():
    seconds = [model_seconds(replace(WAN, num_layers=layers), GRID, CALIBRATION) for layers in (2, 4, 6)]
    assert seconds[2] - seconds[1] == pytest.approx(seconds[1] - seconds[0])


def test_dense_layers_take_the_time_of_full_attention():
    dense = replace(WAN, attention=replace(WAN.attention, dense_layers=(0, 29)))
    full = with_form(WAN, "full")
    assert attention_seconds(dense, GRID, CALIBRATION, 29) == attention_seconds(full, GRID, CALIBRATION, 29)
    assert attention_seconds(dense, GRID, CALIBRATION, 1) == attention_seconds(WAN, GRID, CALIBRATION, 1)
    more = 2 * (attention_seconds(full, GRID, CALIBRATION) - attention_seconds(WAN, GRID, CALIBRATION))
    assert model_seconds(dense, GRID, CALIBRATION) - model_seconds(WAN, GRID, CALIBRATION) == pytest.approx(more)
    assert (needed_shares(dense), needed_shares(WAN)) == ({"full", "sparse", "rest"}, {"sparse", "rest"})


def test_memory_is_weights_and_a_blocks_own():
    tokens = token_bytes(WAN, GRID, "bfloat16")
    assert tokens == 163200 * 1536 * 2
    assert block_extra_bytes(WAN, GRID, CALIBRATION) == 13.0 * tokens
    assert model_bytes(WAN, GRID, CALIBRATION) == 2 * count_parameters(WAN) + 14.0 * tokens


def test_units_inside_sparse_local_attention_are_sparse():
    assert form_of(AttentionConfig(kind="sparse_local", unit=5)) == "sparse"
    assert form_of(AttentionConfig(unit=5)) == "units"
    assert form_of(AttentionConfig()) == "full"


def test_a_calibration_survives_json():
    assert Calibration.from_dict(json.loads(json.dumps(CALIBRATION.to_dict()))) == CALIBRATION


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"achieved": {"full": 0.0}}, "achieved share 0.0 of full"),
        ({"extra_memory": {"full": "much"}}, "extra memory 'much' of full"),
        ({"rates": {"matmul": 1.0}}, "expected matmul_flops and copy_bytes_per_s"),
        ({"colour": "red"}, "expected achieved, dtype, extra_memory, machine, rates"),
    ],
)
def test_a_damaged_calibration_is_named(change, text):
    with pytest.raises(ValueError, match=text):
        Calibration.from_dict({**CALIBRATION.to_dict(), **change})


def test_what_was_not_measured_is_not_estimated():
    partial = replace(CALIBRATION, achieved={"full": 0.8}, extra_memory={})
    with pytest.raises(ValueError, match="no measured share of 'sparse', it has full: run bench again"):
        attention_seconds(WAN, GRID, partial)
    with pytest.raises(ValueError, match="no extra memory of 'sparse'"):
        model_bytes(WAN, GRID, partial)


def test_an_unknown_dtype_is_named():
    with pytest.raises(ValueError, match="dtype is 'int8', expected one of float64"):
        itemsize_of("int8")
