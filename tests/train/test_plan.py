"""The stateless plan: a sample is a function of seed and number, inside its clip, and well spread."""

import numpy as np
import pytest

from train.plan import BatchPlan, plan_sample

SHAPES = [[(20, 64, 96), (20, 96, 144)], [(40, 64, 64), (40, 96, 96)]]


@pytest.fixture
def data(make_config):
    return make_config("x", "data.short_sides=[64,96]", "data.crop=24", "data.halve=0.5").data


def test_a_sample_is_a_function_of_seed_and_number(data):
    assert plan_sample(1, 5, data, SHAPES) == plan_sample(1, 5, data, SHAPES)
    assert plan_sample(1, 5, data, SHAPES) != plan_sample(1, 6, data, SHAPES)
    assert plan_sample(1, 5, data, SHAPES) != plan_sample(2, 5, data, SHAPES)


def test_samples_lie_inside_and_are_spread(data):
    plans = [plan_sample(0, k, data, SHAPES) for k in range(2000)]
    for plan in plans:
        frames, height, width = SHAPES[plan.clip][plan.short_side]
        assert plan.side == (48 if plan.halve else 24)
        assert plan.start + data.frames <= frames
        assert plan.top + plan.side <= height
        assert plan.left + plan.side <= width
    for name in ("clip", "short_side", "flip", "halve"):
        assert np.mean([getattr(p, name) for p in plans]) == pytest.approx(0.5, abs=0.05), name
    assert len({p.noise_seed for p in plans}) == 2000


def test_batches_go_on_where_a_run_stopped():
    whole = list(BatchPlan(4, 0, 6))
    assert list(BatchPlan(4, 2, 6)) == whole[2:]
    assert whole[1] == [4, 5, 6, 7]
    assert len(BatchPlan(4, 2, 6)) == 4
