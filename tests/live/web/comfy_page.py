"""ComfyUI in a browser, for tests: a graph built, changed and read as a person's clicks or the page's scripts would.

Lengths of the graph are in its own units, boxes on the screen in CSS pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..comfy_server import ComfyServer
from .guard import Guard
from .stages import Stage

if TYPE_CHECKING:  # machines without Playwright collect these tests as well
    from playwright.sync_api import Locator, Page

READY = """!!(window.app && app.graph && app.canvas && app.extensionManager && window.LiteGraph
    && LiteGraph.registered_node_types['GVRSampleClip'])"""
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
EMPTY = {"last_node_id": 0, "last_link_id": 0, "nodes": [], "links": [], "groups": [], "config": {}, "version": 0.4}
# Milliseconds. Reached only when something hangs: on a busy machine a page of three seconds may take a minute.
TIMEOUT = 120_000
RUN_TIMEOUT = 300_000


class ComfyPage:
    """The page of a running server, its graph empty.

    Attributes:
        page: Playwright's page, for everything that is not here.
        server: The server behind it.
        stage: Host, front end and renderer.
        guard: What watches it.
    """

    def __init__(self, page: Page, server: ComfyServer, stage: Stage, guard: Guard) -> None:
        self.page, self.server, self.stage, self.guard = page, server, stage, guard

    def open(self) -> None:
        """Loads the page, or loads it again, and waits until it can be used."""
        self.guard.is_loading = True
        self.page.goto(self.server.url)
        self.page.wait_for_function(READY, timeout=TIMEOUT, polling=200)
        # The front end opens its first workflow a moment after that, which may be an empty one; ours must come later.
        for _ in range(50):
            if self.page.evaluate("app.graph._nodes.length > 0"):
                break
            self.page.wait_for_timeout(100)
        self.page.wait_for_load_state("networkidle")
        self.load(EMPTY)
        self.guard.is_loading = False

    def clear(self) -> None:
        """An empty graph in an ordinary page: no full screen, nothing in focus."""
        self.page.evaluate("async () => { if (document.fullscreenElement) await document.exitFullscreen(); }")
        self.page.evaluate("() => document.activeElement?.blur()")
        self.load(EMPTY)

    # The graph

    def add(
        self, kind: str, *, at: tuple[float, float] = (0, 0), size: tuple[float, float] | None = None, **values: Any
    ) -> int:
        """Adds a node, its widgets set to the values; returns its id."""
        node_id = self.page.evaluate(
            """([kind, at, size, values]) => {
                const node = LiteGraph.createNode(kind);
                if (!node) throw new Error(`no node ${kind}`);
                node.pos = at;
                app.graph.add(node);
                if (size) node.setSize(size);
                for (const [name, value] of Object.entries(values)) {
                    const widget = node.widgets.find((widget) => widget.name === name);
                    if (!widget) throw new Error(`${kind} has no widget ${name}`);
                    widget.value = value;
                    widget.callback?.(value, app.canvas, node);
                }
                app.canvas.setDirty(true, true);
                return node.id;
            }""",
            [kind, list(at), list(size) if size else None, values],
        )
        self.settle()
        return node_id

    def connect(self, source: int, target: int, name: str, output: int = 0) -> None:
        """Wires an output of one node to the named input of another."""
        self.on_node(
            target,
            """(node, [source, output, name]) => {
                const slot = node.inputs.findIndex((input) => input.name === name);
                if (slot < 0) throw new Error(`no input ${name}`);
                app.graph.getNodeById(source).connect(output, node, slot);
            }""",
            [source, output, name],
        )

    def on_node(self, node_id: int, function: str, argument: Any = None) -> Any:
        """Result of a JavaScript function `(node, argument) => ...`, JSON values only."""
        return self.page.evaluate(
            f"""([id, argument]) => {{
                const node = app.graph.getNodeById(id);
                if (!node) throw new Error(`no node ${{id}}`);
                return ({function})(node, argument);
            }}""",
            [node_id, argument],
        )

    def set_widget(self, node_id: int, name: str, value: Any) -> None:
        """Gives a widget a value as a user's edit does, callback included."""
        self.on_node(
            node_id,
            """(node, [name, value]) => {
                const widget = node.widgets.find((widget) => widget.name === name);
                widget.value = value;
                widget.callback?.(value, app.canvas, node);
                app.canvas.setDirty(true, true);
            }""",
            [name, value],
        )

    def node_ids(self) -> list[int]:
        """Ids of all nodes, in order."""
        return self.page.evaluate("app.graph._nodes.map((node) => node.id)")

    def save(self) -> dict[str, Any]:
        """The workflow as it would be written to a file."""
        return self.page.evaluate("JSON.parse(JSON.stringify(app.graph.serialize()))")

    def load(self, workflow: dict[str, Any]) -> None:
        """Opens a workflow in the place of the one that is open."""
        self.page.evaluate("(workflow) => app.loadGraphData(workflow, true, true)", workflow)
        self.settle()

    def prompt(self) -> dict[str, Any]:
        """What the page would queue, in the API format."""
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def run(self, timeout: float = RUN_TIMEOUT) -> None:
        """Queues the graph and waits until the server has run it and the page has its results.

        Raises what Playwright raises where the run fails or takes longer than `timeout` milliseconds.
        """
        self.page.evaluate(
            """(timeout) => new Promise((done, fail) => {
                const names = ["execution_success", "execution_error", "execution_interrupted"];
                const end = (action) => {
                    names.forEach((name) => app.api.removeEventListener(name, listen));
                    action();
                };
                const listen = ({ type, detail }) => end(type === names[0] ? done
                    : () => fail(new Error(`${type}: ${detail?.exception_message ?? ""}`)));
                names.forEach((name) => app.api.addEventListener(name, listen));
                setTimeout(() => end(() => fail(new Error(`not run within ${timeout} ms`))), timeout);
                app.queuePrompt(0).then((queued) => {
                    // Old front ends answer false to an accepted prompt as well, with an empty list of errors.
                    const errors = app.lastNodeErrors ?? app.extensionManager.lastNodeErrors;
                    if (queued === false && !(errors && !Object.keys(errors).length)) {
                        end(() => fail(new Error(`refused: ${JSON.stringify(errors)}`)));
                    }
                });
            })""",
            timeout,
        )
        self.settle()

    # What a person does

    def checkpoint(self) -> None:
        """Makes the graph of this moment a step that undo returns to."""
        self.settle()
        self.page.evaluate(
            """() => {
                const tracker = app.extensionManager.workflow.activeWorkflow.changeTracker;
                (tracker.captureCanvasState ?? tracker.checkState).call(tracker);
            }"""
        )

    def undo(self) -> None:
        """Takes the last step back."""
        self.page.evaluate("app.extensionManager.workflow.activeWorkflow.changeTracker.undo()")
        self.settle()

    def redo(self) -> None:
        """Takes the last undo back."""
        self.page.evaluate("app.extensionManager.workflow.activeWorkflow.changeTracker.redo()")
        self.settle()

    def duplicate(self, node_id: int) -> int:
        """Copies and pastes a node; returns the id of the copy."""
        before = self.node_ids()
        self.on_node(
            node_id,
            """(node) => {
                app.canvas.deselectAll?.();
                app.canvas.selectNodes([node]);
                app.canvas.copyToClipboard([node]);
                app.canvas.pasteFromClipboard();
            }""",
        )
        self.settle()
        return next(found for found in self.node_ids() if found not in before)

    def zoom(self, scale: float, x: float = 0.0, y: float = 0.0) -> None:
        """Shows the graph at a scale, its point (x, y) near the upper left corner, clear of the page's menus."""
        self.page.evaluate(
            """([scale, x, y]) => {
                const { ds } = app.canvas;
                ds.scale = scale;
                ds.offset[0] = 120 / scale - x;
                ds.offset[1] = 120 / scale - y;
                app.canvas.setDirty(true, true);
            }""",
            [scale, x, y],
        )
        self.settle(300)

    def settle(self, milliseconds: float = 150) -> None:
        """Lets the page draw what has changed."""
        self.page.wait_for_timeout(milliseconds)
        self.page.evaluate(TWO_FRAMES)

    # What can be seen

    def widget(self, node_id: int, name: str) -> Locator:
        """The element of a DOM widget. It stays good while the node lives, whichever renderer holds the element."""
        mark = self.on_node(
            node_id,
            """(node, name) => {
                const widget = node.widgets?.find((widget) => widget.name === name);
                if (!widget?.element) {
                    throw new Error(`no DOM widget ${name}, but ${node.widgets?.map((widget) => widget.name)}`);
                }
                const { dataset } = widget.element;
                dataset.gvrTest ??= `${name}-${Math.random().toString(36).slice(2)}`;
                return dataset.gvrTest;
            }""",
            name,
        )
        return self.page.locator(f'[data-gvr-test="{mark}"]')

    def node_box(self, node_id: int) -> dict[str, float]:
        """x, y, width, height of a node on the screen, its title bar included."""
        if self.stage.nodes2:
            return self.page.locator(f'[data-node-id="{node_id}"]').first.bounding_box()
        return self.on_node(
            node_id,
            """(node) => {
                const { ds, canvas } = app.canvas;
                const area = canvas.getBoundingClientRect();
                const title = LiteGraph.NODE_TITLE_HEIGHT;
                return {
                    x: area.left + (node.pos[0] + ds.offset[0]) * ds.scale,
                    y: area.top + (node.pos[1] - title + ds.offset[1]) * ds.scale,
                    width: node.size[0] * ds.scale,
                    height: (node.size[1] + title) * ds.scale,
                };
            }""",
        )

    def screenshot(self, path: Path, node_id: int | None = None, margin: float = 12) -> None:
        """A picture of the page, or of a node alone."""
        clip = None
        if node_id is not None:
            box = self.node_box(node_id)
            clip = {"x": max(0, box["x"] - margin), "y": max(0, box["y"] - margin)}
            clip |= {"width": box["width"] + 2 * margin, "height": box["height"] + 2 * margin}
        self.page.screenshot(path=str(path), clip=clip)


def is_inside(inner: dict[str, float], outer: dict[str, float], tolerance: float = 1.0) -> bool:
    """Whether a box lies within another, give or take a pixel."""
    return all(
        (
            inner["x"] >= outer["x"] - tolerance,
            inner["y"] >= outer["y"] - tolerance,
            inner["x"] + inner["width"] <= outer["x"] + outer["width"] + tolerance,
            inner["y"] + inner["height"] <= outer["y"] + outer["height"] + tolerance,
        )
    )


def overlap(one: dict[str, float], two: dict[str, float]) -> float:
    """Square pixels two boxes have in common."""
    width = min(one["x"] + one["width"], two["x"] + two["width"]) - max(one["x"], two["x"])
    height = min(one["y"] + one["height"], two["y"] + two["height"]) - max(one["y"], two["y"])
    return max(0.0, width) * max(0.0, height)
