"""Compare Videos as a node among others: layout at every size, several at once, names and keys of its controls."""

import itertools

import pytest

from .comfy_page import is_inside, overlap
from .compare_player import KIND, ComparePlayer, add_player

pytestmark = pytest.mark.live

CONTROLS = "button, input, select"


def check_layout(player):
    """All visible controls lie within the player and the node, none on another; the stage has room."""
    node = player.comfy.node_box(player.node)
    root = player.root.bounding_box()
    assert is_inside(root, node, 2)
    controls = [
        control for control in player.root.locator(f".gvr-cv-controls :is({CONTROLS})").all() if control.is_visible()
    ]
    boxes = [control.bounding_box() for control in controls]
    assert len(boxes) >= 14
    assert all(is_inside(box, root) for box in boxes)
    assert all(overlap(one, two) <= 1 for one, two in itertools.combinations(boxes, 2))
    stage = player.stage.bounding_box()
    assert is_inside(stage, root)
    assert min(stage["width"] / root["width"], stage["height"] / root["height"]) > 0.25
    assert all(overlap(box, stage) <= 1 for box in boxes)


def test_before_the_first_run_it_says_what_to_do(comfy):
    node = comfy.add(KIND, at=(40, 40))
    comfy.zoom(1)
    player = ComparePlayer(comfy, node)

    assert "Connect two clips of the same length" in player.root.inner_text()
    assert all(control.is_disabled() for control in player.root.locator(f".gvr-cv-controls :is({CONTROLS})").all())
    box = player.root.bounding_box()
    assert box["width"] > 300
    assert box["height"] > 250
    assert is_inside(box, comfy.node_box(node), 2)


@pytest.mark.parametrize("width", [320, 480, 900])
def test_layout(comfy, width):
    player = add_player(comfy, size=(width, 600))
    for mode in ("Wipe", "Side by side", "Difference"):
        player.button(mode).click()
        comfy.settle(200)
        check_layout(player)


def test_layout_on_a_4k_display(open_comfy):
    comfy = open_comfy()
    player = add_player(comfy, frames=24)
    # Grown only now: without a graphics card a page of this size takes minutes to start.
    comfy.page.set_viewport_size({"width": 3840, "height": 2160})
    comfy.settle(1000)
    check_layout(player)
    player.button("Full screen").click()
    comfy.settle(1000)
    box = player.root.bounding_box()
    assert (box["width"], box["height"]) == (3840, 2160)
    assert player.button("Play").bounding_box()["height"] >= 44  # can be hit and read from a distance


def test_names_change_as_they_are_typed(comfy):
    player = add_player(comfy, frames=24)
    comfy.set_widget(player.node, "label_a", "480p")
    comfy.settle()
    assert "480p" in player.stage.inner_text()
    assert "320 × 180" in player.stage.inner_text()
    assert "960 × 540" in player.stage.inner_text()


def test_many_nodes_and_several_players(comfy):
    first = add_player(comfy, frames=24, size=(420, 480))
    others = [ComparePlayer(comfy, comfy.duplicate(first.node)) for _ in range(2)]
    comfy.page.evaluate(
        """(ids) => {
            ids.forEach((id, index) => { app.graph.getNodeById(id).pos = [800, 560 * index]; });
            for (let index = app.graph._nodes.length; index < 100; index++) {
                const node = LiteGraph.createNode("GVRSampleClip");
                node.pos = [1400 + 300 * (index % 10), 260 * Math.floor(index / 10)];
                app.graph.add(node);
            }
        }""",
        [player.node for player in others],
    )
    comfy.zoom(0.6)
    assert len(comfy.node_ids()) == 100
    for player in (first, *others):
        player.wait_until_ready()
        check_layout(player)
    others[0].button("One frame forward").click()
    others[0].wait_for_frame(1)
    assert others[0].shown() == [1, 1]
    assert (first.frame(), others[1].frame()) == (0, 0)
    first.button("Play").click()
    comfy.page.wait_for_timeout(500)
    assert first.is_playing()
    assert not others[1].is_playing()


def test_removing_the_node_stops_it(comfy):
    player = add_player(comfy, frames=24)
    player.button("Play").click()
    comfy.page.evaluate(
        "(root) => { window.gvrTestVideos = [...root.querySelectorAll('video')]; }", player.root.element_handle()
    )
    comfy.page.evaluate("(id) => app.graph.remove(app.graph.getNodeById(id))", player.node)
    comfy.settle(300)
    assert comfy.page.evaluate("gvrTestVideos.every((video) => video.paused && !video.getAttribute('src'))")
    assert comfy.page.locator(".gvr-cv").count() == 0


def test_every_control_has_a_name(comfy):
    player = add_player(comfy, frames=24)
    assert player.root.get_attribute("aria-label") == "Video comparison"
    names = [control.get_attribute("aria-label") for control in player.root.locator(CONTROLS).all()]
    assert all(names)
    assert len(set(names)) == len(names)
    assert player.slider("Frame").get_attribute("aria-valuetext") == "frame 1 of 24, 0.00 seconds"


def test_everything_can_be_reached_and_done_by_keys(comfy):
    player = add_player(comfy)
    press = comfy.page.keyboard.press
    player.root.focus()
    reached = []
    for _ in range(20):
        press("Tab")
        name = comfy.page.evaluate("document.activeElement.getAttribute('aria-label')")
        reached.append(name)
    usable = [control for control in player.root.locator(CONTROLS).all() if control.is_enabled()]
    shown = {
        control.get_attribute("aria-label")
        for control in usable
        if control.evaluate("(it) => it.offsetParent !== null")
    }
    assert shown <= set(reached)

    player.root.focus()
    for key, wanted in (("ArrowRight", 1), (".", 2), ("ArrowLeft", 1), ("End", 287), ("Home", 0)):
        press(key)
        player.wait_for_frame(wanted)
        assert player.shown() == [wanted, wanted]
    for key, name, wanted in (("2", "mode", "side"), ("3", "mode", "difference"), ("1", "mode", "wipe")):
        press(key)
        assert player.view()[name] == wanted
    press("]")
    assert player.view()["wipe"] == 0.55
    press("+")
    assert player.view()["zoom"] == 1.5
    x = player.view()["x"]
    press("Shift+ArrowRight")
    assert player.view()["x"] > x
    press("0")
    assert player.view()["zoom"] == 1
    press("l")
    assert player.view()["loop"] is False
    press("Space")
    comfy.page.wait_for_timeout(600)
    assert player.is_playing()
    press("Space")
    comfy.settle(300)
    assert not player.is_playing()
    assert player.shown() == [player.frame()] * 2
    assert comfy.node_ids() != []  # no key has gone to the graph
