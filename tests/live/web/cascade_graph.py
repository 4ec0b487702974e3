"""The smallest graph with a cascade in it, and what its two displays say."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Error, Locator

from .comfy_page import ComfyPage

PLOT, COST = "gvr_schedule", "gvr_cost"
WAIT = 20_000
ENTRIES = ("schedule_plot.js", "cost_line.js")


@dataclass
class CascadeGraph:
    """Ids of the nodes of a graph; 48 pixels wide and high clips of 5 frames."""

    comfy: ComfyPage
    load: int
    clip: int
    encode: int
    upsample: int
    sampler: int

    @property
    def plot(self) -> Locator:
        """The schedule on the sampler."""
        return self.comfy.widget(self.sampler, PLOT)

    @property
    def cost(self) -> Locator:
        """The cost line."""
        return self.comfy.widget(self.upsample, COST)


def add_cascade(comfy: ComfyPage, **sampler: object) -> CascadeGraph:
    """Clip, encoder, upsample and sampler of nano, connected, with a saver behind them."""
    load = comfy.add("GVRLoadCascade", at=(0, 0))
    clip = comfy.add("GVRSampleClip", at=(0, 200), width=48, height=48, frames=5)
    encode = comfy.add("GVREncodeVideo", at=(0, 460))
    upsample = comfy.add("GVRLatentCascadeUpsample", at=(360, 0))
    sample = comfy.add("GVRMultiCFGSampler", at=(760, 0), **sampler)
    save = comfy.add("SaveLatent", at=(1180, 0))
    for source, target, name, output in (
        (clip, encode, "images", 0),
        (load, encode, "vae", 1),
        (encode, upsample, "samples", 0),
        (load, upsample, "model", 0),
        (load, sample, "model", 0),
        (upsample, sample, "positive", 0),
        (upsample, sample, "negative", 1),
        (upsample, sample, "latent_image", 2),
        (sample, save, "samples", 0),
    ):
        comfy.connect(source, target, name, output)
    return CascadeGraph(comfy, load, clip, encode, upsample, sample)


def wait_for_text(comfy: ComfyPage, element: Locator, *parts: str) -> str:
    """The text of a display, once it has all of the parts. Raises Playwright's timeout with the text it had."""
    try:
        comfy.page.wait_for_function(
            "([element, parts]) => parts.every((part) => element.textContent.includes(part))",
            arg=[element.element_handle(), list(parts)],
            timeout=WAIT,
        )
    except Error as error:
        error.add_note(f"it says {element.text_content()!r}, expected {parts}")
        raise
    return element.text_content()


def without_displays(comfy: ComfyPage) -> None:
    """Opens a page again, its graph still empty, as it is where our JavaScript is not installed."""
    for entry in ENTRIES:
        comfy.page.route(
            f"**/js/{entry}*", lambda route: route.fulfill(body="export {};", content_type="text/javascript")
        )
    comfy.open()
