"""What becomes of a player's view in the workflow: saved, loaded, copied, undone, and never a reason to compute."""

import shutil

import pytest

from ..comfy_server import messages
from .compare_player import KIND, ComparePlayer, add_player

pytestmark = pytest.mark.live

KEPT = {"mode": "difference", "wipe": 0.3, "gain": 9, "zoom": 2, "x": 0.4, "y": 0.6, "speed": 0.5, "loop": False}


def set_view(player):
    """Gives the player the view KEPT, most of it by hand."""
    player.slider("Wipe").fill("30")
    player.button("Difference").click()
    player.slider("Amplification").fill("9")
    player.button("Loop").click()
    player.root.get_by_role("combobox", name="Speed").select_option("0.5")
    player.comfy.on_node(
        player.node,
        """(node) => {
            const view = { ...node.properties.gvr_compare_view, zoom: 2, x: 0.4, y: 0.6 };
            node.configure({ ...node.serialize(), properties: { ...node.properties, gvr_compare_view: view } });
        }""",
    )
    player.comfy.settle()


def check_view(player):
    """The workflow has the view, and the controls show it."""
    player.wait_until_ready()
    assert player.view() == KEPT
    assert player.button("Difference").get_attribute("aria-pressed") == "true"
    assert player.button("Loop").get_attribute("aria-pressed") == "false"
    assert player.slider("Amplification").input_value() == "9"
    assert player.root.get_by_role("combobox", name="Speed").input_value() == "0.5"
    assert player.root.get_by_role("button", name="Zoom 2.0").is_visible()
    assert player.stage.get_attribute("data-mode") == "difference"


def test_view_survives_saving_and_loading(comfy):
    player = add_player(comfy)
    set_view(player)
    check_view(player)
    workflow = comfy.save()
    comfy.load({**workflow, "nodes": [], "links": []})
    assert comfy.node_ids() == []

    comfy.load(workflow)

    check_view(ComparePlayer(comfy, player.node))


def test_view_survives_copy_and_undo(comfy):
    player = add_player(comfy)
    set_view(player)
    comfy.checkpoint()
    copy = ComparePlayer(comfy, comfy.duplicate(player.node))
    comfy.checkpoint()
    check_view(copy)
    copy.button("Wipe").click()
    assert copy.view()["mode"] == "wipe"
    check_view(player)  # each has its own
    comfy.checkpoint()

    comfy.undo()
    comfy.undo()

    assert copy.node not in comfy.node_ids()
    check_view(ComparePlayer(comfy, player.node))


def test_view_and_videos_survive_a_reload_of_the_page(open_comfy):
    comfy = open_comfy()
    player = add_player(comfy)
    set_view(player)
    workflow = comfy.save()
    comfy.open()
    comfy.load(workflow)
    check_view(ComparePlayer(comfy, player.node))


def test_videos_that_are_gone_are_spoken_of(comfy):
    player = add_player(comfy, frames=24)
    workflow = comfy.save()
    comfy.clear()
    shutil.rmtree(comfy.server.base / "temp" / "gvr_compare")

    comfy.load(workflow)
    comfy.settle(500)

    player = ComparePlayer(comfy, player.node)
    assert "no longer there" in player.root.inner_text()
    assert "Run the workflow again" in player.root.inner_text()
    assert player.button("Play").is_disabled()


def test_another_view_computes_nothing(comfy):
    player = add_player(comfy)
    before = comfy.prompt()
    source = player.root.locator("video").first.get_attribute("src")
    set_view(player)
    assert comfy.prompt() == before

    comfy.run()

    assert player.root.locator("video").first.get_attribute("src") == source
    history = comfy.server.get("/history")
    last = max(history.values(), key=lambda entry: entry["prompt"][0])
    assert str(player.node) in messages(last, "execution_cached")[0]["nodes"]


def test_the_workflow_holds_the_node_s_own_values_only(comfy):
    node = comfy.add(KIND, fps=30, label_a="one", label_b="two")
    saved = next(entry for entry in comfy.save()["nodes"] if str(entry["id"]) == str(node))
    assert saved["widgets_values"] == [30, "one", "two"]
