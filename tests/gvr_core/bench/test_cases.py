"""Where the whole does not fit, a smaller case of the same operation does."""

from dataclasses import replace
from itertools import pairwise

import pytest

from gvr_core.attention import TokenGrid
from gvr_core.bench.cases import Case, ladder, largest
from gvr_core.bench.counts import attention_cost, model_cost
from gvr_core.bench.sizes import model_config, with_form

GRID = TokenGrid(frames=20, references=3, height=68, width=120)


def case(operation, form="sparse", grid=GRID):
    return Case(operation=operation, config=with_form(model_config("1.3b"), form), grid=grid)


@pytest.mark.parametrize("operation", ["attention", "rest", "block"])
@pytest.mark.parametrize("form", ["full", "units", "sparse"])
def test_a_ladder_descends_to_a_window(operation, form):
    steps = ladder(case(operation, form))
    assert steps[0] == case(operation, form)
    assert all(a.cost(4).executed > b.cost(4).executed for a, b in pairwise(steps))
    assert all(a.needed_bytes(4) > b.needed_bytes(4) for a, b in pairwise(steps))
    assert (steps[-1].grid.frames, steps[-1].grid.references) == (1, 1)
    assert 9 <= steps[-1].grid.height <= 18


def test_only_attention_loses_heads_and_loses_them_first():
    heads = [step.config.num_heads for step in ladder(case("attention"))]
    assert heads[:4] == [12, 6, 3, 1]
    assert set(heads[4:]) == {1}
    assert ladder(case("attention"))[3].grid == GRID
    assert all(step.config.head_dim == 128 for step in ladder(case("attention")))
    assert {step.config.num_heads for step in ladder(case("block"))} == {12}


def test_what_a_case_costs_is_counted():
    assert case("attention").cost(2) == attention_cost(model_config("1.3b"), GRID, 2)
    assert case("model", "full").cost(2) == model_cost(with_form(model_config("1.3b"), "full"), GRID, 2)
    assert (case("rest").form, case("block").form, case("model", "units").form) == ("rest", "sparse", "units")


def test_the_largest_that_fits_else_the_last():
    steps = ladder(case("block"))
    assert largest(steps, lambda step: step.grid.frames <= 6).grid.frames == 5
    assert largest(steps, lambda _: False) == steps[-1]
    with pytest.raises(ValueError, match="no cases"):
        largest([], lambda _: True)


def test_a_size_can_be_read():
    assert case("attention").size == "20+3x68x120, 12 heads"
    assert case("attention", grid=replace(GRID, references=0)).size == "20x68x120, 12 heads"
