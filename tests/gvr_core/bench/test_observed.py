"""Calibrations from runs that were watched: what went in comes out, at other sizes too."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gvr_core.attention import AttentionConfig, TokenGrid
from gvr_core.bench.calibration_file import add_run, find, from_values, read_calibrations, to_values
from gvr_core.bench.counts import attention_cost, outside_cost, rest_cost
from gvr_core.bench.estimate import model_seconds, token_bytes
from gvr_core.bench.limit import Rates, work_seconds
from gvr_core.bench.observed import Observation, merge, observe
from gvr_core.bench.sizes import model_config

RATES = Rates(matmul_flops=1e11, copy_bytes_per_s=1e10)
SHARES = {"full": 0.9, "units": 0.8, "sparse": 0.3, "rest": 0.6}
NANO = model_config("nano")


def grid(frames=5, height=16, width=24, references=0):
    return TokenGrid(frames=frames, references=references, height=height, width=width)


def seen(config=NANO, tokens=None, *, batch=1, slow=1.0, extra=None):
    """An evaluation on a machine that reaches exactly `SHARES`, `slow` times as long."""
    tokens = tokens or grid()
    attention = {}
    for layer in range(config.num_layers):
        form = "sparse" if config.attention.kind == "sparse_local" else "units" if config.attention.unit else "full"
        form = "full" if layer in config.attention.dense_layers else form
        seconds = work_seconds(attention_cost(config, tokens, 4, layer), RATES) / SHARES[form]
        attention[form] = attention.get(form, 0.0) + slow * batch * seconds
    rest = work_seconds(outside_cost(config, tokens, 4), RATES)
    rest += config.num_layers * work_seconds(rest_cost(config, tokens, 4), RATES)
    return Observation(
        config=config,
        grid=tokens,
        batch=batch,
        attention=attention,
        rest=slow * batch * rest / SHARES["rest"],
        extra_bytes=extra,
    )


def observed(*observations, rates=RATES):
    return observe(observations or [seen()], machine="m", dtype="float32", rates=rates)


@pytest.mark.parametrize(
    "attention",
    [NANO.attention, AttentionConfig(), AttentionConfig(unit=5), AttentionConfig(dense_layers=(1,), unit=5)],
)
def test_the_shares_are_found_and_hold_at_other_sizes(attention):
    config = replace(NANO, attention=attention)
    calibration = observed(seen(config), seen(config, batch=3)).calibration
    for form, share in calibration.achieved.items():
        assert share == pytest.approx(SHARES[form])
    larger = grid(frames=11, height=40, width=60, references=2)
    truth = seen(config, larger)
    assert model_seconds(config, larger, calibration) == pytest.approx(truth.rest + sum(truth.attention.values()))


def test_wrong_rates_do_not_matter_for_times():
    wrong = observed(rates=Rates(matmul_flops=3e10, copy_bytes_per_s=3e9)).calibration
    right = observed().calibration
    assert model_seconds(NANO, grid(9, 30, 30), wrong) == pytest.approx(model_seconds(NANO, grid(9, 30, 30), right))


def test_memory_is_what_a_block_needs_besides_the_tokens():
    extra = 2 * 7 * token_bytes(NANO, grid(), "float32")
    assert observed(seen(batch=2, extra=extra)).calibration.extra_memory == {"sparse": pytest.approx(6.0)}


def test_a_run_without_a_clock_tells_nothing():
    assert observe([], machine="m", dtype="float32", rates=RATES) is None
    assert observed(replace(seen(), attention={}, rest=0.0)) is None


def test_equal_runs_count_half_each():
    merged = merge(observed(), observed(seen(slow=4.0)))
    assert merged.calibration.achieved["rest"] == pytest.approx(SHARES["rest"] / 2)
    assert merged.runs == 2


def test_a_small_run_hardly_changes_what_a_large_one_told():
    large, small = observed(seen(tokens=grid(20, 64, 64))), observed(seen(tokens=grid(1, 8, 8), slow=10.0))
    assert merge(large, small).calibration.achieved["rest"] == pytest.approx(SHARES["rest"], rel=0.01)
    assert merge(small, large).calibration.achieved["rest"] == pytest.approx(SHARES["rest"], rel=0.01)


def test_new_forms_are_added():
    units = replace(NANO, attention=AttentionConfig(unit=5))
    assert set(merge(observed(), observed(seen(units))).calibration.achieved) == {"sparse", "units", "rest"}


def test_runs_with_other_rates_are_brought_to_the_first_ones():
    other = observed(rates=Rates(matmul_flops=2e11, copy_bytes_per_s=2e10))
    merged = merge(observed(), other).calibration
    assert merged.rates == RATES
    assert merged.achieved["rest"] == pytest.approx(SHARES["rest"])


def test_different_machines_are_kept_apart():
    with pytest.raises(ValueError, match="machine"):
        merge(observed(), observe([seen()], machine="other", dtype="float32", rates=RATES))


def test_the_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "gvr" / "calibration.json"
    first = add_run(path, observed())
    assert read_calibrations(path) == [first]
    second = add_run(path, observed(seen(slow=2.0)))
    assert read_calibrations(path) == [second]
    assert second.runs == 2
    assert [entry.name for entry in path.parent.iterdir()] == ["calibration.json"]
    assert from_values(json.loads(json.dumps(to_values([second])))) == [second]


def test_models_of_another_width_have_entries_of_their_own(tmp_path):
    path = tmp_path / "calibration.json"
    wide = replace(NANO, dim=768, num_heads=6)
    add_run(path, observed())
    add_run(path, observed(seen(wide)))
    entries = read_calibrations(path)
    assert [entry.dim for entry in entries] == [384, 768]
    assert find(entries, machine="m", dtype="float32", dim=768) == (entries[1], True)
    assert find(entries, machine="m", dtype="float32", dim=1536) == (entries[1], False)
    assert find(entries, machine="m", dtype="float16", dim=384) == (None, False)
    assert find(entries, machine="another", dtype="float32", dim=384) == (None, False)


def broken(change):
    values = to_values([observed()])
    change(values)
    return values


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda v: v.update(format=2), "format"),
        (lambda v: v.update(entries={}), "no list"),
        (lambda v: v["entries"][0].pop("runs"), "lacks"),
        (lambda v: v["entries"][0].update(runs=0), "runs"),
        (lambda v: v["entries"][0].update(dim="wide"), "dim"),
        (lambda v: v["entries"][0]["work"].update(rest=-1.0), "rest"),
        (lambda v: v["entries"][0]["calibration"].update(rates=3), "rates"),
        (lambda v: v["entries"][0]["calibration"]["rates"].update(matmul_flops="fast"), "matmul_flops"),
        (lambda v: v["entries"][0]["calibration"]["achieved"].update(full=0.0), "full"),
        (lambda v: v["entries"][0]["calibration"].update(machine=None), "machine"),
    ],
)
def test_a_file_with_something_else_in_it_is_not_used(tmp_path, caplog, change, text):
    values = broken(change)
    with pytest.raises(ValueError, match=text):
        from_values(values)
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(values))
    assert read_calibrations(path) == []
    assert "not used" in caplog.text
    # The next run writes a good one.
    assert add_run(path, observed()).runs == 1
    assert len(read_calibrations(path)) == 1


def test_a_cut_file_is_not_used(tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text('{"format": 1, "entr')
    assert read_calibrations(path) == []
