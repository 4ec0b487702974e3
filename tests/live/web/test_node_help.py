"""Help, names and tooltips as a person meets them: opened from the node, in English and Chinese, pictures loaded."""

import json

import pytest
from playwright.sync_api import expect

from ..comfy_server import ROOT

pytestmark = pytest.mark.live

# One with many inputs, one without any, one without outputs.
NODES = ("GVRLatentCascadeUpsample", "GVRPNDMSampler", "GVRCompareVideo")
PLACE = (60, 120)
MISSING = "en.md"
"""Asked for before the page without a language, by every front end and for every pack."""


def texts(language):
    return json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))


def open_help(comfy, kind):
    """Adds a node, opens its help as the button above it does; returns the panel."""
    node = comfy.add(kind, at=PLACE)
    comfy.on_node(node, "(node) => app.canvas.selectNode(node)")
    comfy.settle()
    comfy.page.get_by_test_id("info-button").first.dispatch_event("click")
    return comfy.page.locator(".node-help-content").first


@pytest.mark.parametrize("kind", NODES)
def test_help_opens_from_the_node(comfy, comfy_guard, kind):
    page = (ROOT / "web" / "docs" / f"{kind}.md").read_text(encoding="utf-8")

    panel = open_help(comfy, kind)

    expect(panel.locator("h1")).to_have_text(page.splitlines()[0].removeprefix("# "))
    expect(panel.locator("h2")).to_have_text(["Inputs", "Outputs", "When something goes wrong"])
    wait_for_picture(comfy, panel)
    assert panel.locator("li").count() == page.count("\n- ")
    comfy_guard[:] = [problem for problem in comfy_guard if MISSING not in problem]


@pytest.fixture
def chinese_comfy(web_server, open_comfy):
    """A page of a user who has chosen Chinese."""
    web_server.post("/settings/Comfy.Locale", "zh")
    try:
        yield open_comfy()
    finally:
        web_server.post("/settings/Comfy.Locale", "en")


def test_everything_is_chinese_for_who_wants_it(chinese_comfy):
    kind = NODES[0]
    chinese = texts("zh")[kind]

    panel = open_help(chinese_comfy, kind)

    expect(panel.locator("h1")).to_have_text(chinese["display_name"])
    expect(panel.locator("h2")).to_have_text(["输入", "输出", "出问题时"])
    wait_for_picture(chinese_comfy, panel)
    (node,) = chinese_comfy.node_ids()
    title, widgets, inputs, outputs = chinese_comfy.on_node(
        node,
        """(node) => [node.title, node.widgets.map((widget) => [widget.name, widget.label]),
            node.inputs.map((slot) => [slot.name, slot.localized_name]),
            node.outputs.map((slot) => slot.localized_name)]""",
    )
    assert title == chinese["display_name"]
    names = {name: entry["name"] for name, entry in chinese["inputs"].items()}
    shown = dict(inputs) | {name: label for name, label in widgets if name in names}
    assert {name: shown[name] for name in names} == names
    assert outputs == [entry["name"] for entry in chinese["outputs"].values()]


def wait_for_picture(comfy, panel):
    """Until the first picture of a page is there; fails where it does not come."""
    picture = panel.locator("img").first.element_handle()
    comfy.page.wait_for_function("(image) => image.complete && image.naturalWidth > 100", arg=picture)
