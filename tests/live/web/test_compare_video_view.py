"""The player of Compare Videos shows what it should, by mouse, touch and keys: judged by the pixels on the screen."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from .compare_player import GREY_A, GREY_B, LARGE, add_player

pytestmark = pytest.mark.live


def greys(picture, at_height=0.62):
    """Grey levels along a row of the stage that the moving bar and the names leave alone."""
    return picture[int(at_height * picture.shape[0])].mean(axis=1)


def line_of(player):
    """Share of the row that lies left of the change from a's grey to b's, by the pixels."""
    row = greys(player.picture())
    is_b = np.abs(row - GREY_B) < 4
    is_a = np.abs(row - GREY_A) < 4
    assert (is_a | is_b).mean() > 0.8  # the rest is the line
    return is_a.sum() / (is_a | is_b).sum()


def drag(player, start, end):
    """Drags over the stage between two points, shares of its size."""
    box = player.stage.bounding_box()
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    mouse = player.comfy.page.mouse
    mouse.move(*at[0])
    mouse.down()
    mouse.move(*at[1], steps=4)
    mouse.up()
    player.comfy.settle(200)


def test_the_wipe_follows_the_mouse(comfy):
    player = add_player(comfy)
    assert line_of(player) == pytest.approx(0.5, abs=0.03)

    drag(player, (0.5, 0.8), (0.25, 0.8))

    assert player.view()["wipe"] == pytest.approx(0.25, abs=0.02)
    assert line_of(player) == pytest.approx(0.25, abs=0.03)
    assert comfy.on_node(player.node, "(node) => [...node.pos]") == [330, 0]  # the node was not dragged


def test_the_wipe_follows_the_keys(comfy):
    player = add_player(comfy)
    slider = player.slider("Wipe")
    slider.focus()
    for _ in range(10):
        comfy.page.keyboard.press("ArrowRight")
    assert line_of(player) == pytest.approx(0.6, abs=0.03)
    assert slider.get_attribute("aria-valuetext") == "60 % before"
    comfy.page.keyboard.press("End")
    assert player.view()["wipe"] == 1


def test_the_wipe_follows_a_finger_and_two_fingers_zoom(open_comfy):
    comfy = open_comfy(has_touch=True)
    player = add_player(comfy)
    box = player.stage.bounding_box()
    session = comfy.page.context.new_cdp_session(comfy.page)

    def touch(kind, *points):
        where = [{"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y} for x, y in points]
        touches = [{**point, "id": index} for index, point in enumerate(where)]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": touches})

    touch("Start", (0.5, 0.8))
    touch("Move", (0.6, 0.8))
    touch("Move", (0.75, 0.8))
    touch("End")
    comfy.settle(200)
    assert line_of(player) == pytest.approx(0.75, abs=0.03)

    touch("Start", (0.45, 0.5))
    touch("Start", (0.45, 0.5), (0.55, 0.5))
    touch("Move", (0.4, 0.5), (0.6, 0.5))
    touch("Move", (0.3, 0.5), (0.7, 0.5))
    touch("End")
    comfy.settle(200)
    assert player.view()["zoom"] == pytest.approx(4, rel=0.2)
    assert comfy.page.evaluate("app.canvas.ds.scale") == 1  # the graph has not zoomed with it


def test_the_difference_is_that_of_the_pixels(comfy):
    player = add_player(comfy)
    player.button("Difference").click()
    player.slider("Amplification").fill("5")
    comfy.settle(300)

    row = greys(player.picture())
    # Clips of different size: were their colours read differently, it would be this far off and more.
    assert np.median(row) == pytest.approx(5 * (GREY_B - GREY_A), abs=10)
    assert player.view() | {"mode": "difference", "gain": 5} == player.view()


def test_side_by_side_shows_both_whole(comfy):
    player = add_player(comfy)
    player.button("Side by side").click()
    comfy.settle(300)

    boxes = [player.root.locator(".gvr-cv-picture").nth(index).bounding_box() for index in (0, 1)]
    assert boxes[0]["width"] == pytest.approx(boxes[1]["width"], abs=1)
    assert boxes[0]["width"] / boxes[0]["height"] == pytest.approx(LARGE[0] / LARGE[1], rel=0.01)
    stage = player.stage.bounding_box()
    apart = [abs(boxes[1][axis] - boxes[0][axis]) for axis in "xy"]
    assert max(apart) > 0.45 * min(stage["width"], stage["height"])


def test_zoom_shows_the_same_part_of_both_down_to_pixels(comfy):
    player = add_player(comfy)
    for _ in range(9):
        player.button("Zoom in").click()
    comfy.settle(300)

    assert player.view()["zoom"] > 20
    boxes = [player.root.locator(".gvr-cv-picture").nth(index).bounding_box() for index in (0, 1)]
    assert all(boxes[0][key] == pytest.approx(boxes[1][key], abs=0.5) for key in boxes[0])
    assert player.stage.get_attribute("data-pixels") == "true"

    x = player.view()["x"]
    drag(player, (0.3, 0.8), (0.2, 0.8))  # away from the line it moves the pictures
    assert player.view()["x"] > x
    assert player.view()["wipe"] == 0.5

    player.button("Show the whole picture").click()
    assert (player.view()["zoom"], player.view()["x"], player.view()["y"]) == (1, 0.5, 0.5)


def test_pixels_at_their_own_size(comfy):
    player = add_player(comfy)
    player.root.get_by_role("button", name="pixels at their own size").click()
    comfy.settle(200)
    picture = player.root.locator(".gvr-cv-picture").nth(1).bounding_box()
    assert picture["width"] == pytest.approx(LARGE[0], abs=1)


def test_the_wheel_zooms_the_graph_until_the_player_is_in_use(comfy):
    player = add_player(comfy)
    comfy.page.evaluate("() => document.activeElement?.blur()")
    box = player.stage.bounding_box()
    comfy.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    before = comfy.page.evaluate("app.canvas.ds.scale")
    comfy.page.mouse.wheel(0, -200)
    comfy.settle(400)
    after = comfy.page.evaluate("app.canvas.ds.scale")
    assert after > before
    assert player.view().get("zoom", 1) == 1

    comfy.zoom(1)
    player.root.focus()
    box = player.stage.bounding_box()
    comfy.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    comfy.page.mouse.wheel(0, -200)
    comfy.settle(400)
    assert player.view()["zoom"] > 1.1
    assert comfy.page.evaluate("app.canvas.ds.scale") == 1


def saved(player):
    """The picture that the still button hands to the user, and its name."""
    with player.comfy.page.expect_download() as download:
        player.button("Save this frame as a PNG").click()
    path = download.value.path()
    return np.asarray(Image.open(BytesIO(path.read_bytes())).convert("RGB")).astype(
        int
    ), download.value.suggested_filename


def test_a_still_is_composed_as_seen(comfy):
    player = add_player(comfy)
    player.slider("Frame").fill("37")
    player.wait_for_frame(37)
    drag(player, (0.5, 0.8), (0.3, 0.8))

    picture, name = saved(player)

    height, width = picture.shape[:2]
    assert (width, height) == LARGE
    assert name == "before-after-wipe-0038.png"
    row = greys(picture)
    assert row[: int(0.27 * width)] == pytest.approx(GREY_A, abs=3)
    assert row[int(0.33 * width) :] == pytest.approx(GREY_B, abs=3)

    player.button("Difference").click()
    assert np.median(greys(saved(player)[0])) == pytest.approx(4 * (GREY_B - GREY_A), abs=8)
    player.button("Side by side").click()
    picture, _ = saved(player)
    assert sorted(picture.shape[:2]) == sorted((2 * LARGE[1], LARGE[0])) or picture.shape[1] == 2 * LARGE[0]


def test_full_screen(comfy):
    player = add_player(comfy)
    player.button("Full screen").click()
    player.button("Leave full screen").wait_for()
    comfy.settle(500)
    box = player.root.bounding_box()
    assert (box["width"], box["height"]) == (1600, 1000)
    assert player.stage.bounding_box()["height"] > 800

    comfy.page.keyboard.press("f")
    player.button("Full screen").wait_for()
    comfy.settle(500)
    assert player.root.bounding_box()["width"] < 600
