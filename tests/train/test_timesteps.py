"""Training sigmas follow the distribution they are named after, by chi-square over ten equal bins."""

import json
import math

import pytest
import torch

from gvr_core.schedules import DetailTable
from train.timesteps import TimestepConfig, TimestepSampler

DRAWS, BINS = 10_000, 10
CHI_SQUARE_001 = 27.88
"""What chi-square with nine degrees of freedom exceeds by chance in one of a thousand tests."""


def draw(config):
    sampler = TimestepSampler(config)
    return torch.stack([sampler.draw(torch.Generator().manual_seed(n)) for n in range(DRAWS)]).double()


def chi_square(sigmas, cdf):
    """Of the values' places in their own distribution, which are uniform if the distribution is the right one."""
    counts = torch.histc(cdf(sigmas), BINS, 0, 1)
    expected = DRAWS / BINS
    return float(((counts - expected) ** 2 / expected).sum())


def normal_cdf(x):
    return (1 + torch.erf(x / math.sqrt(2))) / 2


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_uniform(shift):
    sigmas = draw(TimestepConfig(shift=shift))
    assert sigmas.min() >= 0
    assert sigmas.max() <= 1
    assert chi_square(sigmas, lambda s: s / (shift + s * (1 - shift))) < CHI_SQUARE_001


def test_logit_normal():
    sigmas = draw(TimestepConfig(sampler="logit_normal", mean=-1.2, std=1.3))
    assert chi_square(sigmas, lambda s: normal_cdf((torch.logit(s) + 1.2) / 1.3)) < CHI_SQUARE_001


@pytest.mark.parametrize("floor", [0.0, 0.25])
def test_table(tmp_path, floor):
    table = DetailTable(sigmas=(1.0, 0.8, 0.5, 0.0), gains=(0.6, 0.3, 0.1))
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table.to_dict()))
    sigmas = draw(TimestepConfig(sampler="table", table=str(path), floor=floor))

    def cdf(s):
        # From the clean end: 0.1 spread over [0, 0.5], 0.3 over [0.5, 0.8], 0.6 over [0.8, 1].
        low, middle, high = (((s - start) / width).clamp(0, 1) for start, width in ((0, 0.5), (0.5, 0.3), (0.8, 0.2)))
        return (1 - floor) * (0.1 * low + 0.3 * middle + 0.6 * high) + floor * s

    assert chi_square(sigmas, cdf) < CHI_SQUARE_001


def test_the_same_generator_gives_the_same_sigma():
    sampler = TimestepSampler(TimestepConfig())
    assert sampler.draw(torch.Generator().manual_seed(3)) == sampler.draw(torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sampler": "cosine"}, "expected one of uniform, logit_normal, table"),
        ({"sampler": "table"}, "needs a file made by"),
        ({"table": "x.json"}, "the others have none"),
        ({"std": 0.0}, "above 0"),
        ({"floor": 1.5}, r"in \[0, 1\]"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        TimestepConfig(**values)


def test_a_missing_or_foreign_table_is_named(tmp_path):
    with pytest.raises(ValueError, match="no such detail table"):
        TimestepSampler(TimestepConfig(sampler="table", table=str(tmp_path / "none.json")))
    (tmp_path / "other.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="measure it again"):
        TimestepSampler(TimestepConfig(sampler="table", table=str(tmp_path / "other.json")))
