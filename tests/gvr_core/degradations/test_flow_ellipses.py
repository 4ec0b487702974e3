"""Ellipses: where, how many, which way, which colour."""

import numpy as np
import pytest

from gvr_core.degradations.config import FlowDegradation
from gvr_core.degradations.flow_ellipses import paint_ellipses
from gvr_core.degradations.optical_flow import Motion, MotionEstimator

SIZE = 256


def paint(flow, moving, seed=0, previous=None, **fields):
    estimator = MotionEstimator(SIZE, SIZE, FlowDegradation(**fields))
    flow = np.broadcast_to(np.array(flow, np.float32), (SIZE, SIZE, 2))
    motion = Motion(flow=flow, moving=moving, reach=moving.astype(np.float32), full_flow=flow)
    previous = np.full((SIZE, SIZE, 3), 200, np.uint8) if previous is None else previous
    return paint_ellipses(previous, motion, estimator, np.random.default_rng(seed))


def only(row, column):
    moving = np.zeros((SIZE, SIZE), bool)
    moving[row, column] = True
    return moving


def one(seed=0, flow=(6, 0), **fields):
    """An ellipse at (100, 120): so many in a whole frame that one pixel gets one."""
    for attempt in range(seed, seed + 500):
        layer = paint(flow, only(100, 120), attempt, ellipses=4000, **fields)
        if layer.any():
            return layer
    raise AssertionError("no ellipse was drawn")


@pytest.mark.parametrize("angle", [0, 30, 75, 120])
def test_an_ellipse_has_its_size_shape_and_direction(angle):
    flow = 6 * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    weight = one(flow=flow, ellipse_size=(40, 40), ellipse_shape=(0.5, 0.5), angle_jitter=0)[..., 3]
    rows, columns = np.nonzero(weight)
    # Half the size in a frame of 256; area of an ellipse.
    assert rows.size == pytest.approx(np.pi * 20 * 10, rel=0.03)
    assert (rows.mean(), columns.mean()) == (pytest.approx(100, abs=0.1), pytest.approx(120, abs=0.1))
    values, vectors = np.linalg.eigh(np.cov(columns, rows))
    assert np.sqrt(values[1] / values[0]) == pytest.approx(2, rel=0.03)
    found = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    assert abs((found - angle + 90) % 180 - 90) < 2


def test_the_weight_falls_from_the_centre():
    layer = one(ellipse_size=(60, 60), ellipse_shape=(1, 1), strength=0.8)
    weight = layer[100, 120:152, 3]
    assert 0.4 <= weight[0] <= 0.8
    assert (np.diff(weight[:30]) < 0).all()
    assert weight[-1] == 0
    np.testing.assert_allclose(layer[..., :3], np.repeat(200 * layer[..., 3:], 3, 2), atol=1e-3)


def test_the_colour_lies_where_the_flow_points():
    previous = np.zeros((SIZE, SIZE, 3), np.uint8)
    previous[100 - 8 : 100 + 9, 150 - 8 : 150 + 9] = (250, 20, 90)
    layer = one(flow=(30, 0), previous=previous, ellipse_size=(4, 4))
    np.testing.assert_allclose(layer[100, 120, :3] / layer[100, 120, 3], (250, 20, 90), atol=1e-3)


def test_samples_are_gaussian_around_it():
    # The mean of a ramp has the variance of the samples divided by their number; half the radius is sigma.
    ramp = np.broadcast_to(np.arange(SIZE, dtype=np.uint8)[None, :, None], (SIZE, SIZE, 3))
    moving = np.zeros((SIZE, SIZE), bool)
    moving[:, 128] = True
    means = []
    for seed in range(60):
        layer = paint(
            (1e-3, 0),
            moving,
            seed,
            previous=ramp,
            ellipses=4000,
            samples=4,
            strength=1.0,
            ellipse_size=(40, 40),
            ellipse_shape=(1, 1),
        )
        rows = np.nonzero(layer[:, 128, 3])[0][::50]
        means += list(layer[rows, 128, 0] / layer[rows, 128, 3])
    assert np.mean(means) == pytest.approx(128, abs=1)
    # Overlapping ellipses mix, which only makes it narrower.
    assert 2 < np.std(means) < 20 / 2 / np.sqrt(4) * 1.2


def test_their_number_follows_the_moving_area():
    for share in (0.25, 1.0):
        moving = np.zeros((SIZE, SIZE), bool)
        moving[: int(SIZE * share)] = True
        covered = [
            (paint((6, 0), moving, seed, ellipses=40, ellipse_size=(2, 2))[..., 3] > 0).sum() for seed in range(20)
        ]
        single = (one(ellipse_size=(2, 2))[..., 3] > 0).sum()
        assert np.mean(covered) == pytest.approx(40 * share * single, rel=0.4)


@pytest.mark.parametrize("fields", [{"ellipses": 0}, {"strength": 0.0}])
def test_none(fields):
    assert not paint((6, 0), np.ones((SIZE, SIZE), bool), **fields)[..., 3].any()


def test_edges_of_the_frame():
    for row, column in ((0, 0), (0, SIZE - 1), (SIZE - 1, 0), (SIZE - 1, SIZE - 1)):
        for seed in range(40):
            layer = paint((90, -70), only(row, column), seed, ellipses=4000)
            assert np.isfinite(layer).all()
