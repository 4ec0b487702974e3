"""The colour wheel against the benchmark's published formula."""

import math

import numpy as np
import pytest

from gvr_core.degradations.flow_picture import colour_wheel, flow_picture


def middlebury(u, v):
    """The colour of one vector of length at most 1, after colorcode.cpp, step by step."""
    wheel = []
    for steps, rgb in [
        (15, lambda k: (255, 255 * k // 15, 0)),
        (6, lambda k: (255 - 255 * k // 6, 255, 0)),
        (4, lambda k: (0, 255, 255 * k // 4)),
        (11, lambda k: (0, 255 - 255 * k // 11, 255)),
        (13, lambda k: (255 * k // 13, 0, 255)),
        (6, lambda k: (255, 0, 255 - 255 * k // 6)),
    ]:
        wheel += [rgb(k) for k in range(steps)]
    radius, place = math.hypot(u, v), (math.atan2(-v, -u) / math.pi + 1) / 2 * 54
    first = int(place)
    second = (first + 1) % 55
    colour = []
    for channel in range(3):
        value = (1 - place + first) * wheel[first][channel] / 255 + (place - first) * wheel[second][channel] / 255
        colour.append(int(255 * (1 - radius * (1 - value) if radius <= 1 else value * 0.75)))
    return colour


def test_colours_are_those_of_the_benchmark():
    random = np.random.default_rng(0)
    angles, radii = random.uniform(-np.pi, np.pi, 500), random.uniform(0, 1.5, 500)
    flow = np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)[None]
    expected = np.array([middlebury(*vector) for vector in flow[0]])
    np.testing.assert_allclose(flow_picture(flow, longest=1)[0], expected, atol=3)


def test_the_wheel_has_its_55_colours():
    wheel = colour_wheel()
    assert wheel.shape == (55, 3)
    assert wheel[[0, 15, 21, 25, 36, 49]].tolist() == [
        [255, 0, 0], [255, 255, 0], [0, 255, 0], [0, 255, 255], [0, 0, 255], [255, 0, 255],
    ]  # fmt: skip


def test_no_motion_is_white_and_the_longest_is_full():
    assert (flow_picture(np.zeros((3, 4, 2), np.float32)) == 255).all()
    flow = np.zeros((1, 2, 2), np.float32)
    flow[0, 1, 0] = 37
    assert flow_picture(flow).tolist() == [[[255, 255, 255], [255, 0, 0]]]
    assert flow_picture(flow).dtype == np.uint8


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="flow has shape"):
        flow_picture(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="longest motion is 0"):
        flow_picture(np.zeros((3, 4, 2)), longest=0)
