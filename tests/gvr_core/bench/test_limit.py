"""The limit is the slower of the two rates, and the rates are measured."""

import pytest
import torch

from gvr_core.bench.counts import Cost
from gvr_core.bench.limit import RateMeter, Rates, is_memory_bound, limit_seconds, work_seconds
from gvr_core.bench.measure import interleave

RATES = Rates(matmul_flops=1e12, copy_bytes_per_s=1e10)


def test_products_or_copies_set_the_limit():
    products = Cost(useful=2 * 10**12, executed=3 * 10**12, moved=10**9)
    copies = Cost(useful=10**9, executed=10**9, moved=4 * 10**10)
    assert limit_seconds(products, RATES) == 2.0
    assert work_seconds(products, RATES) == 3.0
    assert limit_seconds(copies, RATES) == work_seconds(copies, RATES) == 4.0
    assert (is_memory_bound(products, RATES), is_memory_bound(copies, RATES)) == (False, True)


def test_the_rates_are_those_of_the_best_run(small_rates):
    meter = RateMeter(torch.device("cpu"), torch.float32)
    assert set(meter.operations) == {"matmul", "copy"}
    for seconds in (3.0, 2.0, 4.0):
        meter.update("matmul", seconds)
        meter.update("copy", seconds)
    assert meter.rates == Rates(matmul_flops=2 * 64**3 / 2.0, copy_bytes_per_s=2 * 2**16 / 2.0)


def test_its_operations_run(small_rates):
    meter = RateMeter(torch.device("cpu"), torch.bfloat16)
    timings = interleave(meter.operations, torch.device("cpu"), allowance=0.01)
    assert all(timing.seconds > 0 for timing in timings.values())


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_rate_is_above_0(value):
    with pytest.raises(ValueError, match="expected a rate above 0"):
        Rates(matmul_flops=1.0, copy_bytes_per_s=value)
