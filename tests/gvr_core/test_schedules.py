from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gvr_core.schedules import DetailTable, detail_aware_sigmas, make_sigmas, resample_below, shift_sigmas

# A plateau at both ends and one inside.
FLAT = DetailTable(sigmas=(1.0, 0.9, 0.7, 0.5, 0.3, 0.1, 0.0), gains=(0.0, 0.5, 0.0, 0.25, 0.25, 0.0))


@st.composite
def tables(draw: st.DrawFn) -> DetailTable:
    bins = draw(st.integers(1, 12))
    inner = draw(st.lists(st.integers(1, 99), min_size=bins - 1, max_size=bins - 1, unique=True))
    weights = draw(st.lists(st.integers(0, 20), min_size=bins, max_size=bins))
    assume(sum(weights) > 0)
    edges = [1.0, *(edge / 100 for edge in sorted(inner, reverse=True)), 0.0]
    return DetailTable(sigmas=tuple(edges), gains=tuple(weight / sum(weights) for weight in weights))


def gain_above(table: DetailTable, sigma: np.ndarray) -> np.ndarray:
    """Independent cumulative gain, by numpy."""
    cumulative = np.concatenate([[0.0], np.cumsum(table.gains)])
    return np.interp(-np.asarray(sigma, dtype=np.float64), -np.asarray(table.sigmas), cumulative / cumulative[-1])


@given(
    num_steps=st.integers(1, 200),
    shift=st.floats(0.1, 20),
    start=st.floats(0.05, 1),
    table=st.none() | tables(),
)
@settings(deadline=None)
def test_schedules_descend_strictly_from_start_to_zero(
    num_steps: int, shift: float, start: float, table: DetailTable | None
) -> None:
    sigmas = make_sigmas(num_steps, shift=shift, start=start, table=table)
    assert sigmas.dtype == torch.float32
    assert sigmas.shape == (num_steps + 1,)
    assert sigmas[0].item() == pytest.approx(start)
    assert sigmas[-1].item() == 0
    assert bool((sigmas[1:] < sigmas[:-1]).all())


def test_default_is_uniform() -> None:
    torch.testing.assert_close(make_sigmas(50), torch.arange(50, -1, -1) / 50)


@given(shift=st.floats(0.1, 20), sigma=st.floats(0, 1))
@settings(deadline=None)
def test_shift_is_the_formula_and_its_reciprocal_undoes_it(shift: float, sigma: float) -> None:
    x = torch.tensor([sigma], dtype=torch.float64)
    shifted = shift_sigmas(x, shift)
    assert shifted.item() == pytest.approx(shift * sigma / (1 + (shift - 1) * sigma))
    assert shift_sigmas(shifted, 1 / shift).item() == pytest.approx(sigma)


@given(shift=st.floats(1e-3, 1e3))
def test_shift_keeps_the_ends_exactly(shift: float) -> None:
    assert shift_sigmas(torch.tensor([1.0, 0.0]), shift).tolist() == [1.0, 0.0]


def test_start_walks_the_lower_part_of_the_same_shifted_curve() -> None:
    whole = make_sigmas(50, shift=3)
    torch.testing.assert_close(make_sigmas(20, shift=3, start=whole[30].item()), whole[30:])


def test_one_flat_bin_of_detail_is_the_uniform_schedule() -> None:
    table = DetailTable(sigmas=(1.0, 0.0), gains=(1.0,))
    torch.testing.assert_close(detail_aware_sigmas(table, 50), make_sigmas(50))


@given(table=tables(), num_steps=st.integers(1, 100))
@settings(deadline=None)
def test_every_step_gains_the_same(table: DetailTable, num_steps: int) -> None:
    gained = np.diff(gain_above(table, detail_aware_sigmas(table, num_steps).numpy()))
    np.testing.assert_allclose(gained, 1 / num_steps, atol=1e-4)


@given(table=tables(), start=st.floats(0.05, 1), num_steps=st.integers(1, 50))
@settings(deadline=None)
def test_every_step_gains_the_same_from_a_lower_start(table: DetailTable, start: float, num_steps: int) -> None:
    sigmas = make_sigmas(num_steps, start=start, table=table).numpy()
    left = 1 - gain_above(table, np.array(start))
    np.testing.assert_allclose(np.diff(gain_above(table, sigmas)), left / num_steps, atol=1e-4)


def test_flat_parts_are_crossed_in_one_step() -> None:
    assert detail_aware_sigmas(FLAT, 4).tolist() == pytest.approx([1.0, 0.8, 0.7, 0.3, 0.0])


def test_start_below_all_gain_is_uniform() -> None:
    torch.testing.assert_close(make_sigmas(5, start=0.1, table=FLAT), torch.linspace(0.1, 0, 6))


@given(table=tables(), sigma=st.floats(0, 1))
@settings(deadline=None)
def test_gain_above_agrees_with_numpy(table: DetailTable, sigma: float) -> None:
    assert table.gain_above(sigma) == pytest.approx(float(gain_above(table, np.array(sigma))), abs=1e-12)


def test_samples_follow_the_gains() -> None:
    n = 20_000
    drawn = FLAT.sample(torch.Generator().manual_seed(0), n)
    assert drawn.dtype == torch.float32
    counts = np.histogram(drawn.numpy(), bins=FLAT.sigmas[::-1])[0][::-1] / n
    # Five standard deviations of a share; bins without gain stay empty.
    np.testing.assert_allclose(counts, FLAT.gains, atol=5 * math.sqrt(0.25 / n))
    assert counts[0] == counts[2] == counts[5] == 0
    inside = drawn[(drawn > 0.7) & (drawn < 0.9)]
    assert inside.mean().item() == pytest.approx(0.8, abs=0.005)
    assert inside.std().item() == pytest.approx(0.2 / math.sqrt(12), abs=0.003)


def test_same_generator_seed_same_samples() -> None:
    first, second = (FLAT.sample(torch.Generator().manual_seed(7), 8) for _ in range(2))
    assert torch.equal(first, second)
    assert FLAT.sample(None, 3).shape == (3,)


@given(table=tables())
@settings(deadline=None, max_examples=30)
def test_table_survives_json(table: DetailTable) -> None:
    assert DetailTable.from_dict(json.loads(json.dumps(table.to_dict()))) == table


@pytest.mark.parametrize(
    ("sigmas", "gains", "message"),
    [
        ((1.0,), (), "1 sigmas and 0 gains"),
        ((1.0, 0.5, 0.0), (1.0,), "3 sigmas and 1 gains"),
        ((1.0, 0.5, 0.5, 0.0), (0.5, 0.0, 0.5), "strictly descending from 1 to 0"),
        ((0.9, 0.0), (1.0,), "from 0.9 to 0"),
        ((1.0, 0.1), (1.0,), "from 1 to 0.1"),
        ((1.0, math.nan, 0.0), (0.5, 0.5), "strictly descending"),
        ((1.0, 0.5, 0.0), (1.5, -0.5), "smallest of -0.5"),
        ((1.0, 0.5, 0.0), (0.5, 0.4), "sum to 0.9"),
        ((1.0, 0.0), (math.nan,), "gains of the detail table"),
    ],
)
def test_invalid_tables(sigmas: tuple[float, ...], gains: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DetailTable(sigmas=sigmas, gains=gains)


@pytest.mark.parametrize("data", [{"sigmas": [1, 0]}, {"sigmas": [1, 0], "gains": [1], "cutoff": 0.5}])
def test_table_with_missing_or_unknown_keys(data: dict) -> None:
    with pytest.raises(ValueError, match="expected gains and sigmas"):
        DetailTable.from_dict(data)


@pytest.mark.parametrize("num_steps", [0, -1])
def test_no_steps_is_an_error(num_steps: int) -> None:
    for make in (make_sigmas, lambda n: detail_aware_sigmas(FLAT, n)):
        with pytest.raises(ValueError, match=f"num_steps is {num_steps}"):
            make(num_steps)


@pytest.mark.parametrize("start", [0.0, -0.5, 1.5, math.nan])
def test_start_out_of_range_is_an_error(start: float) -> None:
    with pytest.raises(ValueError, match="expected a sigma above 0 and at most 1"):
        make_sigmas(10, start=start)


@pytest.mark.parametrize("shift", [0.0, -3.0, math.nan, math.inf])
def test_shift_out_of_range_is_an_error(shift: float) -> None:
    for call in (lambda: make_sigmas(10, shift=shift), lambda: shift_sigmas(torch.ones(1), shift)):
        with pytest.raises(ValueError, match="expected a finite number above 0"):
            call()


def test_steps_too_short_for_float32_are_an_error() -> None:
    with pytest.raises(ValueError, match="steps of length 0"):
        make_sigmas(50, shift=1e9)


@given(num_steps=st.integers(1, 100), shift=st.floats(0.1, 20), start=st.floats(0.02, 1))
def test_resampling_a_dense_schedule_is_making_it_with_that_start(num_steps: int, shift: float, start: float) -> None:
    sigmas = resample_below(make_sigmas(1000, shift=shift), start, num_steps)
    torch.testing.assert_close(sigmas, make_sigmas(num_steps, shift=shift, start=start), atol=1e-3, rtol=0)


@st.composite
def dense_schedules(draw: st.DrawFn) -> torch.Tensor:
    """Descending to 0 in uneven steps, from whatever a host's model begins with, some entries repeated."""
    steps = draw(st.lists(st.integers(0, 100), min_size=1, max_size=60).filter(any))
    sigmas = torch.tensor([*steps, 0], dtype=torch.float64).flip(0).cumsum(0).flip(0)
    return (sigmas / sigmas[0] * draw(st.floats(0.1, 20))).float()


@given(dense=dense_schedules(), part=st.floats(0.01, 1), num_steps=st.integers(1, 50))
def test_a_resampled_schedule_descends_strictly_from_its_exact_start(
    dense: torch.Tensor, part: float, num_steps: int
) -> None:
    start = part * dense[0].item()
    sigmas = resample_below(dense, start, num_steps)
    assert sigmas.dtype == torch.float32
    assert sigmas.shape == (num_steps + 1,)
    assert (sigmas[0].item(), sigmas[-1].item()) == (torch.tensor(start).item(), 0)
    assert bool((sigmas[1:] < sigmas[:-1]).all())


@given(dense=dense_schedules(), data=st.data())
def test_a_start_that_is_an_entry_gives_the_entries_below_it(dense: torch.Tensor, data: st.DataObject) -> None:
    entries = dense.unique_consecutive()
    first = data.draw(st.integers(0, len(entries) - 2))
    sigmas = resample_below(dense, entries[first].item(), len(entries) - 1 - first)
    torch.testing.assert_close(sigmas, entries[first:], atol=0, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_entry_may_be_the_start_in_any_precision(dtype: torch.dtype) -> None:
    for first in (0.1, 0.7):  # above and below its float32
        dense = first * torch.linspace(1, 0, 11, dtype=dtype)
        torch.testing.assert_close(resample_below(dense, first, 10), dense.float())


@pytest.mark.parametrize("start", [0.0, -0.1, 0.91, math.nan, math.inf])
def test_a_start_outside_the_schedule_is_an_error(start: float) -> None:
    with pytest.raises(ValueError, match=r"start is .*, expected a sigma above 0 and at most 0\.9"):
        resample_below(torch.linspace(0.9, 0, 10), start, 5)


@pytest.mark.parametrize(
    "sigmas", [[], [0.0], [0.0, 0.0], [1.0], [1.0, 0.5], [1.0, 0.5, 0.6, 0.0], [0.5, math.nan, 0.0], [[1.0, 0.5, 0.0]]]
)
def test_a_schedule_that_does_not_descend_to_zero_is_an_error(sigmas: list) -> None:
    with pytest.raises(ValueError, match="expected one row that descends to 0 all the way"):
        resample_below(torch.tensor(sigmas), 0.4, 5)


def test_resampling_to_no_steps_is_an_error() -> None:
    with pytest.raises(ValueError, match="num_steps is 0"):
        resample_below(torch.linspace(1, 0, 10), 0.5, 0)
