"""The player of Compare Videos plays two clips as one: judged by the frame numbers in the pixels of both."""

import itertools
import random

import pytest

from .compare_player import FRAMES, add_player
from .numbered_video import drift, watch_frames

pytestmark = pytest.mark.live

SECONDS = 10
# Fewer pictures a second than this and the machine is too busy with something else to judge a player by.
LEAST_RATE = 15


def watch_play(player, seconds):
    """Samples of a time of playing; on a machine that is busy it is tried again."""
    for _ in range(4):
        player.button("Play").click()
        samples = watch_frames(player.root, seconds)
        player.button("Pause").click()
        if len(samples) >= LEAST_RATE * seconds:
            return samples
        player.slider("Frame").fill("0")
        player.wait_for_frame(0)
    pytest.skip(f"the browser drew {len(samples) / seconds:.0f} pictures a second: the machine is too busy to judge")


def test_both_stay_within_a_frame_while_they_play(comfy, record_property):
    player = add_player(comfy)
    assert player.shown() == [0, 0]

    samples = watch_play(player, SECONDS)

    found = drift(samples)
    record_property("drift", found)
    assert found["most"] <= 1
    assert found["frames"] > 0.5 * 24 * SECONDS
    assert samples[-1][1] > 0.8 * 24 * SECONDS  # in real time
    player.comfy.settle(300)
    assert player.shown() == [player.frame()] * 2  # the pause has put both on one frame


def test_random_seeks_are_exact(comfy):
    player = add_player(comfy)
    numbers = random.Random(7)
    for _ in range(20):
        wanted = numbers.randrange(FRAMES)
        player.slider("Frame").fill(str(wanted))
        player.wait_for_frame(wanted)
        assert player.shown() == [wanted, wanted]


def test_seeking_while_it_plays_goes_on_from_there(comfy):
    player = add_player(comfy)
    player.button("Play").click()
    player.slider("Frame").fill("200")
    comfy.page.wait_for_timeout(1000)
    player.button("Pause").click()
    comfy.settle(300)

    assert 200 <= player.frame() < 240
    assert player.shown() == [player.frame()] * 2


def test_a_hurried_drag_over_the_timeline_ends_where_it_ended(comfy):
    player = add_player(comfy)
    player.slider("Frame").evaluate(
        """(slider) => {
            for (let frame = 0; frame <= 150; frame += 3) {
                slider.value = frame;
                slider.dispatchEvent(new Event("input", { bubbles: true }));
            }
        }"""
    )
    player.wait_for_frame(150)
    assert player.shown() == [150, 150]


def test_steps(comfy):
    player = add_player(comfy)
    for name, wanted in (("forward", 1), ("forward", 2), ("forward", 3), ("back", 2)):
        player.button(f"One frame {name}").click()
        player.wait_for_frame(wanted)
        assert player.shown() == [wanted, wanted]
    player.slider("Frame").fill("0")
    player.button("One frame back").click()
    player.wait_for_frame(0)
    assert player.shown() == [0, 0]  # there is none before the first


def test_it_ends_on_the_last_frame_or_begins_again(comfy):
    player = add_player(comfy, frames=24)
    player.button("Loop").click()
    assert player.view()["loop"] is False
    player.button("Play").click()
    player.button("Play").wait_for()  # it has stopped by itself
    player.wait_for_frame(23)
    assert player.shown() == [23, 23]

    player.button("Loop").click()
    player.button("Play").click()
    found = watch_frames(player.root, 3.5)
    player.button("Pause").click()
    falls = sum(after < before for (_, before, _), (_, after, _) in itertools.pairwise(found))
    assert falls >= 2
    comfy.settle(300)
    assert player.shown() == [player.frame()] * 2


def test_slow_motion_takes_its_time(comfy):
    player = add_player(comfy)
    player.root.get_by_role("combobox", name="Speed").select_option("0.25")
    samples = watch_play(player, 4)

    assert player.view()["speed"] == 0.25
    assert drift(samples)["most"] <= 1
    assert samples[-1][1] == pytest.approx(0.25 * 24 * 4, abs=6)
