// The player: pictures, controls and keys around two videos that play as one.

import { makeControls } from "./controls.mjs";
import { make } from "./elements.mjs";
import { icon } from "./icons.mjs";
import { VideoPair } from "./pair.mjs";
import { Stage } from "./stage.mjs";
import { download, drawStill, stillName } from "./still.mjs";
import { addStyle } from "./style.mjs";
import { bounded, fit, viewFrom } from "./view.mjs";

const EMPTY = ["Connect two clips of the same length to a and b, then run the workflow.",
    "They may differ in size. Both will play here in step."];
const GONE = ["The videos of the last run are no longer there: ComfyUI clears its temporary files when it starts.",
    "Run the workflow again. Your view is kept."];

/**
 * What a run of the node has left.
 * @typedef {object} Result
 * @property {{url: string, size: number[], coded: number[], source: number[]}} a
 * @property {{url: string, size: number[], coded: number[], source: number[]}} b
 * @property {number} frames
 * @property {number} fps
 * @property {string[]} notes Sentences for the user.
 */

/**
 * Builds a player.
 * @param {HTMLElement} container Takes the player; gets the class gvr-cv.
 * @param {object} data
 * @param {unknown} data.view As saved.
 * @param {string[]} data.labels Of a and b.
 * @param {(view: import("./view.mjs").View) => void} data.onView Called with every change of the view.
 * @param {(event: WheelEvent) => void} data.onWheel Gets the wheel's turns that the player leaves to the page.
 * @returns {{load: (result: Result | null, isGone?: boolean) => void, setView: (view: unknown) => void,
 *     setLabels: (labels: string[]) => void, destroy: () => void}}
 */
export function mountPlayer(container, { view: saved, labels, onView, onWheel }) {
    addStyle();
    let view = viewFrom(saved);
    let result = null;
    let pair = null;

    const stage = new Stage(() => view, change);
    const controls = makeControls({
        toggle: () => pair?.toggle(), step: (by) => pair?.step(by), seek: (frame) => pair?.seek(frame),
        change, zoom: (factor) => stage.zoom(factor), whole: () => change({ zoom: 1, x: 0.5, y: 0.5 }),
        actual: () => stage.zoom(stage.actualZoom() / view.zoom), save: saveStill, full: toggleFull,
    });
    const word = make("div", { class: "gvr-cv-word" });
    const notes = make("ul", { class: "gvr-cv-notes", hidden: true });
    const status = make("div", { class: "gvr-cv-unseen", role: "status", "aria-live": "polite" });
    stage.element.append(word);
    container.classList.add("gvr-cv");
    container.tabIndex = 0;
    // Nodes 2.0 leaves the wheel to an element that says so while it has the focus, and moves the graph otherwise.
    container.dataset.captureWheel = "true";
    container.setAttribute("role", "group");
    container.setAttribute("aria-label", "Video comparison");
    container.replaceChildren(stage.element, notes, controls.element, status);
    stage.name(labels);
    for (const video of stage.videos) {
        video.addEventListener("error", () => video.error && result && fail(
            ["The browser cannot play the videos of the last run.", video.error.message || "Run the workflow again."]));
    }

    const listening = new AbortController();
    const listen = (target, name, action, options) =>
        target.addEventListener(name, action, { signal: listening.signal, ...options });
    listen(container, "keydown", onKey);
    listen(container, "wheel", onWheelTurned, { passive: false });
    // A press in here is no grip on the node.
    for (const name of ["pointerdown", "mousedown", "dblclick"]) {
        listen(container, name, (event) => event.stopPropagation());
    }
    // Two fingers on the pictures would zoom the graph as well; it listens above us, and before us.
    for (const name of ["touchstart", "touchmove", "touchend", "touchcancel"]) {
        listen(window, name, (event) => stage.element.contains(event.target) && event.stopPropagation(),
            { capture: true, passive: true });
    }
    listen(stage.element, "pointerdown", () => container.focus({ preventScroll: true }));
    listen(document, "fullscreenchange", show);

    load(null);
    return { load, setView, setLabels, destroy };

    function load(next, isGone = false) {
        const frame = pair && result && next && next.a.url === result.a.url ? pair.frame : 0;
        pair?.destroy();
        pair = null;
        result = next;
        stage.load(next, next ? [next.a.url, next.b.url] : []);
        notes.replaceChildren(...(next?.notes ?? []).map((text) => make("li", {}, text)));
        notes.hidden = !next?.notes?.length;
        tell(next ? null : isGone ? GONE : EMPTY);
        if (next) {
            pair = new VideoPair(...stage.videos, { frames: next.frames, fps: next.fps, onChange: show });
            pair.setSpeed(view.speed);
            pair.loops = view.loop;
            pair.seek(frame);
        }
        show();
    }

    function setView(next) {
        view = viewFrom(next);
        apply();
    }

    function setLabels(next) {
        labels = next;
        stage.name(next);
    }

    function change(part) {
        const next = { ...view, ...part };
        if (part.mode && part.mode !== view.mode) say({ wipe: "Wipe", side: "Side by side", difference: "Difference" }[part.mode]);
        const [pane] = stage.panes();
        // Panes of another mode have another shape; the view is bounded when it is shown.
        view = part.mode || !(pane.width > 0) ? next : bounded(next, pane, stage.ratio, stage.widest);
        apply();
        onView({ ...view });
    }

    function apply() {
        if (pair) {
            if (pair.speed !== view.speed) pair.setSpeed(view.speed);
            pair.loops = view.loop;
        }
        stage.show();
        show();
    }

    function show() {
        controls.show({
            view, frame: pair?.frame ?? 0, frames: result?.frames ?? 0, fps: result?.fps ?? 24,
            isPlaying: pair?.isPlaying ?? false, isFull: document.fullscreenElement === container, isReady: pair !== null,
        });
    }

    function tell(lines) {
        word.hidden = lines === null;
        word.replaceChildren(...(lines ? [icon("empty"), ...lines.map((text) => make("p", {}, text))] : []));
    }

    function fail(lines) {
        pair?.destroy();
        pair = null;
        tell(lines);
        show();
    }

    function say(text) {
        status.textContent = text;
    }

    async function saveStill() {
        if (!pair) return;
        await pair.pause();
        const [pane] = stage.panes();
        const canvas = drawStill(stage, bounded(view, pane, stage.ratio, stage.widest), fit(pane, stage.ratio).width);
        await download(canvas, stillName(labels, view.mode, pair.frame));
        say(`Frame ${pair.frame + 1} saved, ${canvas.width} by ${canvas.height} pixels`);
    }

    async function toggleFull() {
        if (document.fullscreenElement === container) {
            await document.exitFullscreen();
        } else if (document.fullscreenEnabled) {
            await container.requestFullscreen();
            container.focus({ preventScroll: true });
        } else {
            say("Full screen is not available here");
        }
    }

    function onKey(event) {
        const isSlider = event.target instanceof HTMLInputElement;
        const isControl = event.target !== container;
        if (event.ctrlKey || event.metaKey || event.altKey || !pair) return;
        if (isSlider && (event.key.startsWith("Arrow") || ["Home", "End", "PageUp", "PageDown"].includes(event.key))) {
            event.stopPropagation();
            return;
        }
        if (event.target instanceof HTMLSelectElement || (isControl && ["Enter", " "].includes(event.key) && !isSlider)) {
            event.stopPropagation();
            return;
        }
        const action = keyAction(event.key, event.shiftKey);
        if (!action) return;
        event.preventDefault();
        event.stopPropagation();
        action();
    }

    function keyAction(key, isShift) {
        const part = 40; // pixels a key press moves the pictures
        const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
        if (isShift && arrows[key]) return () => stage.pan(part * arrows[key][0], part * arrows[key][1]);
        const wipe = (by) => () => change({ wipe: Math.min(1, Math.max(0, Math.round(100 * (view.wipe + by)) / 100)) });
        return {
            " ": () => pair.toggle(), k: () => pair.toggle(),
            ArrowLeft: () => pair.step(-1), ArrowRight: () => pair.step(1),
            ",": () => pair.step(-1), ".": () => pair.step(1),
            Home: () => pair.seek(0), End: () => pair.seek(result.frames - 1),
            1: () => change({ mode: "wipe" }), 2: () => change({ mode: "side" }), 3: () => change({ mode: "difference" }),
            "[": wipe(-0.05), "]": wipe(0.05),
            "+": () => stage.zoom(1.5), "=": () => stage.zoom(1.5), "-": () => stage.zoom(1 / 1.5),
            0: () => change({ zoom: 1, x: 0.5, y: 0.5 }), p: () => stage.zoom(stage.actualZoom() / view.zoom),
            l: () => change({ loop: !view.loop }), s: saveStill, f: toggleFull,
        }[key.length === 1 ? key.toLowerCase() : key];
    }

    function onWheelTurned(event) {
        const isForGraph = event.ctrlKey || event.metaKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
        const isOurs = pair && !isForGraph && stage.element.contains(event.target)
            && (container.contains(document.activeElement) || document.fullscreenElement === container);
        if (!isOurs) {
            onWheel(event);
            return;
        }
        event.preventDefault();
        event.stopPropagation();
        stage.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), stage.pointOf(event));
    }

    function destroy() {
        listening.abort();
        pair?.destroy();
        pair = null;
        result = null;
        stage.destroy();
        container.replaceChildren();
    }
}
