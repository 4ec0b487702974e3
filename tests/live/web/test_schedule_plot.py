"""The schedule on the Multi-CFG nodes in the real front end."""

from __future__ import annotations

import itertools
import time

import pytest

from .cascade_graph import PLOT, add_cascade, wait_for_text, without_displays
from .comfy_page import is_inside

pytestmark = pytest.mark.live

VALUES = {"seed": 7, "steps": 9, "sampler_name": "euler", "scheduler": "beta", "shift": 0.5, "denoise": 0.7}
VALUES |= {"s_txt": 2.0, "s_ref": 0.5, "n_ref": 4, "null_reference": "zeros"}


def widget_values(comfy, node):
    """Values by name, of the widgets that are saved."""
    return comfy.on_node(
        node,
        """(node) => Object.fromEntries(node.widgets.filter((widget) => widget.serialize !== false)
            .map((widget) => [widget.name, widget.value]))""",
    )


def points(plot):
    """Corners of the curve, from its path."""
    path = plot.locator(".gvr-plot-line").get_attribute("d")
    return [tuple(map(float, part.split())) for part in path.replace("M", "L").split("L")[1:]]


def test_it_can_be_seen_and_is_inside_its_node(comfy, tmp_path):
    graph = add_cascade(comfy)
    comfy.zoom(1, 740)
    text = wait_for_text(comfy, graph.plot, "50 steps, 50 evaluations", "the checkpoint's own")
    assert "shift 0.3" in text
    area = graph.plot.locator(".gvr-plot-area")
    box = area.bounding_box()
    assert box["width"] > 150
    assert box["height"] > 50
    assert is_inside(graph.plot.bounding_box(), comfy.node_box(graph.sampler), tolerance=4)
    assert area.get_attribute("role") == "img"
    assert "50 steps, 50 evaluations" in area.get_attribute("aria-label")
    comfy.screenshot(tmp_path / "plot.png", graph.sampler)


def test_it_follows_the_widgets(comfy):
    graph = add_cascade(comfy, steps=4, scheduler="simple", shift=1.0)
    wait_for_text(comfy, graph.plot, "4 steps, 4 evaluations", "shift 1")
    even = points(graph.plot)
    assert len(even) == 5
    # Even steps at shift 1, from the top to the bottom.
    drops = [low[1] - high[1] for high, low in itertools.pairwise(even)]
    assert max(drops) - min(drops) < 0.2
    comfy.set_widget(graph.sampler, "steps", 7)
    wait_for_text(comfy, graph.plot, "7 steps, 7 evaluations")
    assert len(points(graph.plot)) == 8
    comfy.set_widget(graph.sampler, "shift", 5.0)
    wait_for_text(comfy, graph.plot, "shift 5")
    shifted = points(graph.plot)
    assert shifted[3][1] < points(graph.plot)[4][1] < even[-1][1]
    comfy.set_widget(graph.sampler, "sampler_name", "heun")
    wait_for_text(comfy, graph.plot, "7 steps, 13 evaluations: 6 × 2 + 1 × 1")


def test_references_and_their_window(comfy):
    graph = add_cascade(comfy)
    # A checkpoint that is not known may have text; nano has none.
    comfy.on_node(graph.sampler, "(node) => node.disconnectInput(0)")
    wait_for_text(comfy, graph.plot, "50 steps, 100 evaluations: 50 × 2", "with text is assumed")
    references = comfy.add("GVRReferenceTokens", at=(760, 700))
    comfy.connect(graph.upsample, references, "positive", 0)
    comfy.connect(references, graph.sampler, "positive", 0)
    wait_for_text(comfy, graph.plot, "50 steps, 115 evaluations: 15 × 3 + 35 × 2", "references")
    window = graph.plot.locator(".gvr-plot-window")
    share = float(window.get_attribute("width")) / 97
    assert share == pytest.approx(0.3, abs=0.01)
    comfy.set_widget(graph.sampler, "n_ref", 60)
    wait_for_text(comfy, graph.plot, "lower n_ref to at most 50")
    comfy.set_widget(graph.sampler, "s_ref", 0)
    wait_for_text(comfy, graph.plot, "50 steps, 100 evaluations: 50 × 2")
    assert window.count() == 0


def test_the_guider(comfy):
    guider = comfy.add("GVRMultiCFGGuider", at=(0, 0))
    comfy.zoom(1)
    plot = comfy.widget(guider, PLOT)
    wait_for_text(comfy, plot, "Steps come from the SIGMAS node.")
    assert plot.is_visible()
    load = comfy.add("GVRLoadCascade", at=(0, 500))
    sampler = comfy.add("SamplerCustomAdvanced", at=(400, 0))
    sigmas = comfy.add("GVRPartialSigmas", at=(400, 300), steps=12, alpha=0.4)
    comfy.connect(load, guider, "model")
    comfy.connect(load, sigmas, "model")
    comfy.connect(guider, sampler, "guider")
    comfy.connect(sigmas, sampler, "sigmas")
    wait_for_text(comfy, plot, "12 steps, 12 evaluations", "sigma 0.4 to 0")


def test_the_step_is_marked_while_it_runs(comfy):
    graph = add_cascade(comfy, steps=6, sampler_name="euler", s_txt=0, s_ref=0)
    wait_for_text(comfy, graph.plot, "6 steps")
    graph.plot.evaluate(
        """(root) => {
            window.gvrSteps = [];
            new MutationObserver(() => {
                const tag = root.querySelector("[data-now]");
                if (tag && window.gvrSteps.at(-1) !== Number(tag.dataset.now)) {
                    window.gvrSteps.push(Number(tag.dataset.now));
                }
            }).observe(root, { childList: true, subtree: true });
        }"""
    )
    comfy.run()
    comfy.page.wait_for_function("(root) => !root.querySelector('[data-now]')", arg=graph.plot.element_handle())
    steps = comfy.page.evaluate("window.gvrSteps")
    # Fast steps may be passed over by the messages, but never run backwards.
    assert steps == sorted(steps)
    assert len(steps) >= 3
    assert set(steps) <= set(range(7))


def test_it_survives_save_load_copy_and_undo(comfy):
    graph = add_cascade(comfy, **VALUES)
    wait_for_text(comfy, graph.plot, "9 steps")
    copy = comfy.duplicate(graph.sampler)
    wait_for_text(comfy, comfy.widget(copy, PLOT), "9 steps")
    comfy.checkpoint()
    comfy.on_node(graph.sampler, "(node) => app.graph.remove(node)")
    comfy.checkpoint()
    comfy.undo()
    comfy.zoom(0.5)  # what is out of sight may not be in the page
    wait_for_text(comfy, comfy.widget(graph.sampler, PLOT), "9 steps")
    saved = comfy.save()
    comfy.load(saved)
    comfy.zoom(0.5)
    wait_for_text(comfy, comfy.widget(graph.sampler, PLOT), "9 steps")
    wait_for_text(comfy, comfy.widget(copy, PLOT), "9 steps")
    assert comfy.save()["nodes"][4]["widgets_values"] == saved["nodes"][4]["widgets_values"]


def test_values_do_not_shift_with_or_without_it(open_comfy):
    comfy = open_comfy()
    graph = add_cascade(comfy, **VALUES)
    comfy.set_widget(graph.upsample, "noise_aug", 0.1)
    wait_for_text(comfy, graph.plot, "9 steps")
    expected = widget_values(comfy, graph.sampler), widget_values(comfy, graph.upsample)
    with_ours, prompt = comfy.save(), comfy.prompt()

    bare = open_comfy()
    without_displays(bare)
    bare.load(with_ours)
    assert bare.on_node(graph.sampler, f"(node) => !node.widgets.some((widget) => widget.name === '{PLOT}')")
    assert (widget_values(bare, graph.sampler), widget_values(bare, graph.upsample)) == expected
    assert bare.prompt() == prompt
    without_ours = bare.save()

    again = open_comfy()
    again.load(without_ours)
    wait_for_text(again, again.widget(graph.sampler, PLOT), "9 steps")
    assert (widget_values(again, graph.sampler), widget_values(again, graph.upsample)) == expected
    assert again.prompt() == prompt
    for one, two in zip(with_ours["nodes"], without_ours["nodes"], strict=True):
        assert (one.get("widgets_values") or []) == (two.get("widgets_values") or [])


def test_a_hundred_of_them(comfy):
    started = time.monotonic()
    comfy.page.evaluate(
        """() => {
            for (let i = 0; i < 100; i += 1) {
                const node = LiteGraph.createNode(i % 2 ? "GVRMultiCFGSampler" : "GVRLatentCascadeUpsample");
                node.pos = [(i % 10) * 420, Math.floor(i / 10) * 620];
                app.graph.add(node);
                const steps = node.widgets.find((widget) => widget.name === "steps");
                if (steps) steps.value = 10 + i;
            }
        }"""
    )
    nodes = comfy.node_ids()
    assert len(nodes) == 100
    wait_for_text(comfy, comfy.widget(nodes[99], PLOT), "109 steps")
    wait_for_text(comfy, comfy.widget(nodes[1], PLOT), "11 steps")
    assert time.monotonic() - started < 60
    # Looking at a hundred nodes takes next to nothing of the time between two looks.
    spent = comfy.page.evaluate(
        """async () => {
            let longest = 0, before = performance.now();
            for (let i = 0; i < 60; i += 1) {
                await new Promise((done) => setTimeout(done, 10));
                longest = Math.max(longest, performance.now() - before - 10);
                before = performance.now();
            }
            return longest;
        }"""
    )
    assert spent < 1000


@pytest.mark.parametrize("width", [320, 900])
def test_narrow_and_wide(comfy, width):
    graph = add_cascade(comfy, steps=4)
    comfy.on_node(graph.sampler, f"(node) => node.setSize([{width}, node.size[1]])")
    comfy.zoom(1, 740)
    wait_for_text(comfy, graph.plot, "4 steps")
    assert is_inside(graph.plot.bounding_box(), comfy.node_box(graph.sampler), tolerance=4)
    assert graph.plot.evaluate("(root) => root.scrollWidth <= root.clientWidth + 1")
    assert graph.plot.evaluate("(root) => root.scrollHeight <= root.clientHeight + 2")


def test_through_reroutes_and_bypassed_nodes(comfy):
    graph = add_cascade(comfy, steps=5)
    reroute = comfy.add("Reroute", at=(300, 800))
    sparse = comfy.add("GVRSparseAttention", at=(300, 900))
    comfy.on_node(
        graph.load,
        """(node, [reroute, sparse, sampler]) => {
            const by = (id) => app.graph.getNodeById(id);
            node.connect(0, by(reroute), 0);
            by(reroute).connect(0, by(sparse), 0);
            by(sparse).connect(0, by(sampler), 0);
            by(sparse).mode = 4;
        }""",
        [reroute, sparse, graph.sampler],
    )
    wait_for_text(comfy, graph.plot, "5 steps, 5 evaluations", "shift 0.3, the checkpoint's own")
