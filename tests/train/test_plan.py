"""The stateless plan: samples and groups are functions of seed and number, and spread as the config says."""

import numpy as np
import pytest

from train.fit_config import DataConfig
from train.plan import group_samples, plan_group, plan_sample

SHAPES = [[(20, 64, 96), (20, 96, 144)], [(40, 64, 64), (40, 96, 96)]]
DRAWS = 10_000
CHI_SQUARE_001 = {1: 10.83, 2: 13.82}
"""What chi-square exceeds by chance in one of a thousand tests, by degrees of freedom."""


@pytest.fixture
def data():
    return DataConfig(root="x", short_sides=(64, 96), frames=5, crop=24, halve=0.5)


@pytest.fixture
def mixed():
    tasks = {"t2v": 0.5, "multi_id": 0.3, "edit": 0.2}
    return DataConfig(source="rendered", short_sides=(64,), frames=5, crop=24, tasks=tasks)


def chi_square(counts, shares):
    total = sum(counts)
    return sum((count - total * share) ** 2 / (total * share) for count, share in zip(counts, shares, strict=True))


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


def test_groups_have_the_mixture_of_the_config(mixed):
    plans = [plan_group(7, g, mixed) for g in range(DRAWS)]
    counts = [sum(p.task == task for p in plans) for task in mixed.tasks]
    assert chi_square(counts, mixed.tasks.values()) < CHI_SQUARE_001[2]
    with_references = [p for p in plans if p.task != "t2v"]
    dropped = sum(p.dropped for p in with_references)
    assert chi_square([dropped, len(with_references) - dropped], [0.1, 0.9]) < CHI_SQUARE_001[1]
    images = [p.images for p in plans if p.task == "multi_id"]
    assert chi_square([images.count(n) for n in (1, 2, 3)], [1 / 3] * 3) < CHI_SQUARE_001[2]


def test_what_a_group_has_follows_from_its_task(mixed):
    for g in range(300):
        plan = plan_group(1, g, mixed)
        assert plan == plan_group(1, g, mixed)
        assert (plan.images > 0) == (plan.task == "multi_id")
        assert plan.video == (plan.task == "edit")
        assert plan.has_references == (plan.task != "t2v" and not plan.dropped)


def test_a_task_of_weight_zero_never_comes():
    data = DataConfig(source="rendered", short_sides=(64,), frames=5, crop=24, tasks={"t2v": 0.0, "edit": 3.0})
    assert {plan_group(0, g, data).task for g in range(200)} == {"edit"}


def test_groups_cover_every_sample_once():
    numbers = [k for g in range(7) for k in group_samples(g, 3)]
    assert numbers == list(range(21))
