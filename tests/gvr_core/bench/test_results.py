"""A figure is measured only if it was run at the size that was asked for; the others scale by counted FLOPs."""

from dataclasses import replace

import pytest

from gvr_core.bench.cases import Case
from gvr_core.bench.counts import attention_cost, count_parameters, model_cost
from gvr_core.bench.estimate import FORMS, token_bytes
from gvr_core.bench.limit import limit_seconds, work_seconds
from gvr_core.bench.results import UNKNOWN, Figure, make_sections
from gvr_core.bench.sizes import with_form, with_heads


def case(size, operation, form, grid=None, heads=None):
    config = with_form(size.config, form)
    if heads:
        config = with_heads(config, heads, config.head_dim)
    return Case(operation=operation, config=config, grid=grid or size.grid)


@pytest.fixture
def size(small_size):
    return small_size(frames=37)


def test_what_was_run_as_asked_is_measured(size, made_findings):
    seconds = {"full": 4.0, "units": 2.0, "sparse": 0.5}
    cases = {form: case(size, "attention", form) for form in FORMS}
    findings = made_findings(
        size,
        {cases[form]: seconds[form] for form in FORMS},
        {cases["sparse"]: 3 * token_bytes(size.config, size.grid, "float32")},
    )
    (section,) = make_sections(findings).values()
    assert {form: row.seconds for form, row in section.rows.items()} == {
        form: Figure(value=value, measured=True) for form, value in seconds.items()
    }
    assert section.ratio() == Figure(value=8.0, measured=True)
    assert section.ratio("units") == Figure(value=2.0, measured=True)
    assert section.extra_memory_ratio == Figure(value=3.0, measured=True)
    limit = limit_seconds(attention_cost(size.config, size.grid, 4), findings.rates)
    assert section.rows["sparse"].limit_share == Figure(value=limit / 0.5, measured=True)
    assert section.rows["full"].extra_bytes == UNKNOWN


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("frames", [2, 10])
def test_smaller_runs_scale_by_counted_flops_and_are_marked(size, made_findings, heads, frames):
    grid = replace(size.grid, frames=frames)
    cases = {form: case(size, "attention", form, grid, heads) for form in FORMS}
    findings = made_findings(size, dict.fromkeys(cases.values(), 1.0), dict.fromkeys(cases.values(), 1000))
    rows = make_sections(findings)["attention"].rows
    is_whole = (heads, frames) == (2, 10)
    for form in FORMS:
        asked, run = (c.cost(4) for c in (case(size, "attention", form), cases[form]))
        scale = work_seconds(asked, findings.rates) / work_seconds(run, findings.rates)
        assert rows[form].seconds == Figure(value=pytest.approx(scale), measured=is_whole)
        scale = 2 * 10 / (heads * frames)
        assert rows[form].extra_bytes == Figure(value=pytest.approx(1000 * scale), measured=is_whole)
        assert rows[form].limit_share.measured == is_whole


def parts(size, *, share=0.5):
    """Attention and the rest of a block as fast as half the limit."""
    findings = {}
    for operation, form in [("attention", form) for form in FORMS] + [("rest", "full")]:
        one = case(size, operation, form)
        cost = one.cost(4)
        findings[one] = max(cost.executed / 1e12, cost.moved / 1e11) / share
    return findings


def test_a_block_that_was_not_run_is_the_sum_of_its_parts(size, made_findings):
    measured = parts(size)
    sections = make_sections(made_findings(size, measured))
    by_key = {(c.operation, c.form): value for c, value in measured.items()}
    for form in FORMS:
        expected = by_key["attention", form] + by_key["rest", "rest"]
        assert sections["block"].rows[form].seconds == Figure(value=pytest.approx(expected), measured=False)
        assert sections["model"].rows[form].seconds.value > 2 * expected * 0.9
        assert not sections["model"].rows[form].seconds.measured
    assert not sections["block"].ratio().measured
    assert sections["attention"].ratio().measured


def test_a_model_takes_its_measured_blocks(size, made_findings):
    measured = parts(size)
    before = make_sections(made_findings(size, measured))
    by_key = {(c.operation, c.form): value for c, value in measured.items()}
    slow = 3 * (by_key["attention", "sparse"] + by_key["rest", "rest"])
    after = make_sections(made_findings(size, {**measured, case(size, "block", "sparse"): slow}))
    assert after["block"].rows["sparse"].seconds == Figure(value=slow, measured=True)
    assert after["block"].ratio() == Figure(value=before["block"].rows["full"].seconds.value / slow, measured=False)
    models = [sections["model"].rows["sparse"].seconds.value for sections in (before, after)]
    assert models[1] == pytest.approx(3 * models[0])


def test_a_measured_model_counts_as_such(size, made_findings):
    model = case(size, "model", "sparse")
    findings = made_findings(size, {**parts(size), model: 7.0}, {model: 5000})
    row = make_sections(findings)["model"].rows["sparse"]
    assert row.seconds == Figure(value=7.0, measured=True)
    assert row.extra_bytes == Figure(value=5000 + 4 * count_parameters(size.config), measured=True)
    assert row.limit_share.value == limit_seconds(model_cost(model.config, size.grid, 4), findings.rates) / 7.0


def test_memory_of_a_block_is_that_of_its_larger_part(size, made_findings):
    tokens = token_bytes(size.config, size.grid, "float32")
    peaks = {case(size, "attention", form): 2 * tokens for form in FORMS} | {case(size, "rest", "full"): 11 * tokens}
    sections = make_sections(made_findings(size, parts(size), peaks))
    assert sections["block"].rows["sparse"].extra_bytes == Figure(value=pytest.approx(11 * tokens), measured=False)
    assert sections["block"].extra_memory_ratio == Figure(value=pytest.approx(11.0), measured=False)
    assert sections["model"].rows["sparse"].extra_bytes.value > 11 * tokens
    block = case(size, "block", "sparse", replace(size.grid, frames=5))
    sections = make_sections(made_findings(size, parts(size), {**peaks, block: 7 * tokens}))
    assert sections["model"].extra_memory_ratio == Figure(value=pytest.approx(14.0), measured=False)


def test_out_of_memory_reaches_everything_above(size, made_findings):
    measured = {**parts(size), case(size, "attention", "full"): None}
    sections = make_sections(made_findings(size, measured))
    for section in sections.values():
        assert section.rows["full"].is_out_of_memory
        assert section.rows["full"].seconds == UNKNOWN
        assert section.ratio() == UNKNOWN
        assert not section.rows["sparse"].is_out_of_memory
        assert section.rows["sparse"].seconds.value > 0


def test_a_model_without_memory_is_said_to_be(size, made_findings):
    sections = make_sections(made_findings(size, {**parts(size), case(size, "model", "full"): None}))
    assert sections["model"].rows["full"].is_out_of_memory
    assert not sections["block"].rows["full"].is_out_of_memory
