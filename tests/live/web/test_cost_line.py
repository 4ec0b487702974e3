"""The cost line on Latent Cascade Upsample in the real front end."""

from __future__ import annotations

import pytest

from .cascade_graph import COST, add_cascade, wait_for_text
from .comfy_page import is_inside

pytestmark = pytest.mark.live

SAMPLER = {"steps": 3, "sampler_name": "euler", "s_txt": 0, "s_ref": 0, "n_ref": 0}


def rows(line):
    """Cells of the table by form."""
    return {
        row.get_attribute("data-form"): row.locator("td").all_text_contents() for row in line.locator("tbody tr").all()
    }


def used(line):
    """Forms that are marked as what will run."""
    return [row.get_attribute("data-form") for row in line.locator("tr.gvr-cost-used").all()]


def nothing_sticks_out(line):
    """Whether every cell and line is inside the box, none cut off."""
    return line.evaluate(
        """(root) => {
            const { left, right } = root.querySelector(".gvr-cost-box").getBoundingClientRect();
            return [...root.querySelectorAll("th, td, li, .gvr-cost-box > div")].every((element) => {
                const box = element.getBoundingClientRect();
                return box.left >= left - 1 && box.right <= right + 1;
            });
        }"""
    )


def test_it_can_be_seen_and_is_inside_its_node(comfy):
    graph = add_cascade(comfy, **SAMPLER)
    comfy.zoom(1, 340)
    wait_for_text(comfy, graph.cost, "Output 96 × 96, 5 frames", "72 tokens", "3 evaluations")
    assert graph.cost.is_visible()
    assert is_inside(graph.cost.bounding_box(), comfy.node_box(graph.upsample), tolerance=4)
    assert set(rows(graph.cost)) == {"full", "units", "sparse"}
    assert used(graph.cost) == ["sparse"]
    live = graph.cost.locator("[aria-live=polite]")
    assert "Output 96 × 96" in live.text_content()
    assert graph.cost.get_by_role("group", name="Cost of the run").count() == 1
    assert graph.cost.locator("caption").text_content() == "Time and memory of each form of attention"


def test_it_follows_widgets_here_and_upstream(comfy):
    graph = add_cascade(comfy, **SAMPLER)
    wait_for_text(comfy, graph.cost, "Output 96 × 96")
    comfy.set_widget(graph.upsample, "scale", 4)
    wait_for_text(comfy, graph.cost, "Output 192 × 192, 5 frames", "288 tokens")
    comfy.set_widget(graph.clip, "frames", 77)
    # 77 frames are 20 latent frames.
    wait_for_text(comfy, graph.cost, "77 frames", "2,880 tokens")
    comfy.set_widget(graph.sampler, "steps", 10)
    wait_for_text(comfy, graph.cost, "10 evaluations")
    comfy.set_widget(graph.upsample, "target", "1080")
    wait_for_text(comfy, graph.cost, "Output 1080 × 1080")
    comfy.set_widget(graph.clip, "width", 2000)
    comfy.set_widget(graph.clip, "height", 1200)
    wait_for_text(comfy, graph.cost, "target 1080 is smaller than the input's shorter side")


def test_what_will_not_fit_is_told_with_a_way_out(comfy):
    graph = add_cascade(comfy, **SAMPLER)
    for name, value in (("width", 1920), ("height", 1080), ("frames", 1000)):
        comfy.set_widget(graph.clip, name, value)
    comfy.set_widget(graph.upsample, "scale", 8)
    wait_for_text(comfy, graph.cost, "Output 15360 × 8640", "Will not fit: sampling needs")
    assert graph.cost.locator("li").count() >= 1
    assert nothing_sticks_out(graph.cost)
    comfy.zoom(1, 340)
    assert is_inside(graph.cost.bounding_box(), comfy.node_box(graph.upsample), tolerance=4)
    assert graph.cost.evaluate("(root) => root.scrollHeight <= root.clientHeight + 2")


def test_sparse_attention_in_front_of_the_sampler(comfy):
    graph = add_cascade(comfy, **SAMPLER)
    comfy.set_widget(graph.clip, "frames", 17)
    before = wait_for_text(comfy, graph.cost, "17 frames")
    sparse = comfy.add("GVRSparseAttention", at=(360, 800))
    comfy.connect(graph.load, sparse, "model")
    comfy.connect(sparse, graph.sampler, "model")
    assert "min_tokens" in wait_for_text(comfy, graph.cost, "Sparse Local Attention does nothing: 180 tokens")
    comfy.set_widget(sparse, "min_tokens", 0)
    comfy.page.wait_for_function(
        "(root) => !root.textContent.includes('does nothing')", arg=graph.cost.element_handle()
    )
    assert used(graph.cost) == ["sparse"]
    assert "does nothing" not in before


def test_an_unknown_size_is_that_of_the_last_run(comfy):
    graph = add_cascade(comfy, **SAMPLER)
    comfy.set_widget(graph.upsample, "seed", 5)
    pad = comfy.add("ImagePadForOutpaint", at=(0, 700), left=16, right=0, top=0, bottom=0)
    comfy.connect(graph.clip, pad, "image")
    comfy.connect(pad, graph.encode, "images")
    wait_for_text(comfy, graph.cost, "Size known after the first run.")
    comfy.run()
    wait_for_text(comfy, graph.cost, "Output 128 × 96, 5 frames", "size of the last run")
    # And the run has calibrated the machine.
    assert "Not calibrated" not in wait_for_text(comfy, graph.cost, "Sampling only, from")
    assert rows(graph.cost)["sparse"][0].startswith("~")
    assert rows(graph.cost)["full"][0].startswith("≈")
    for name, value in (("width", 1920), ("height", 1080), ("frames", 77)):
        comfy.set_widget(graph.clip, name, value)
    comfy.connect(graph.clip, graph.encode, "images")
    wait_for_text(comfy, graph.cost, "Output 3840 × 2160, 77 frames")
    comfy.zoom(1, 340)
    assert nothing_sticks_out(graph.cost)


def test_nothing_connected(comfy):
    node = comfy.add("GVRLatentCascadeUpsample", at=(0, 0))
    wait_for_text(comfy, comfy.widget(node, COST), "Connect samples to see what a run will cost.")
    latent = comfy.add("EmptyHunyuanLatentVideo", at=(-400, 0), width=832, height=480, length=81)
    comfy.connect(latent, node, "samples")
    wait_for_text(comfy, comfy.widget(node, COST), "Output 1664 × 960, 81 frames", "none is connected to model")


def test_it_survives_save_load_copy_and_undo(comfy):
    graph = add_cascade(comfy, **SAMPLER)
    wait_for_text(comfy, graph.cost, "Output 96 × 96")
    copy = comfy.duplicate(graph.upsample)
    wait_for_text(comfy, comfy.widget(copy, COST), "Connect samples")
    comfy.checkpoint()
    comfy.on_node(graph.upsample, "(node) => app.graph.remove(node)")
    comfy.checkpoint()
    comfy.undo()
    comfy.zoom(0.5)  # what is out of sight may not be in the page
    wait_for_text(comfy, comfy.widget(graph.upsample, COST), "Output 96 × 96")
    saved = comfy.save()
    comfy.load(saved)
    comfy.zoom(0.5)
    wait_for_text(comfy, comfy.widget(graph.upsample, COST), "Output 96 × 96", "72 tokens")
    again = comfy.save()
    assert [node.get("widgets_values") for node in again["nodes"]] == [
        node.get("widgets_values") for node in saved["nodes"]
    ]


@pytest.mark.parametrize("width", [320, 900])
def test_narrow_and_wide(comfy, width):
    graph = add_cascade(comfy, **SAMPLER)
    wait_for_text(comfy, graph.cost, "Output 96 × 96")
    comfy.on_node(graph.upsample, f"(node) => node.setSize([{width}, node.size[1]])")
    comfy.zoom(1, 340)
    comfy.settle(500)
    assert is_inside(graph.cost.bounding_box(), comfy.node_box(graph.upsample), tolerance=4)
    assert graph.cost.evaluate("(root) => root.scrollWidth <= root.clientWidth + 1")
    assert nothing_sticks_out(graph.cost)
    assert graph.cost.evaluate("(root) => root.scrollHeight <= root.clientHeight + 2")


def test_a_server_without_our_route_is_told_and_asked_again(comfy):
    comfy.page.route("**/gvr/cost*", lambda route: route.fulfill(status=200, body="[]", content_type="text/plain"))
    graph = add_cascade(comfy, **SAMPLER)
    comfy.settle(1000)
    comfy.page.unroute("**/gvr/cost*")
    comfy.set_widget(graph.upsample, "scale", 3)
    wait_for_text(comfy, graph.cost, "Output 144 × 144")
