// The controls below the pictures: timeline, transport, modes, zoom.

import { iconButton, make, slider } from "./elements.mjs";
import { icon } from "./icons.mjs";
import { GAINS, SPEEDS } from "./view.mjs";

/**
 * What the controls do.
 * @typedef {object} Actions
 * @property {() => void} toggle
 * @property {(by: number) => void} step
 * @property {(frame: number) => void} seek
 * @property {(change: Partial<import("./view.mjs").View>) => void} change
 * @property {(factor: number) => void} zoom
 * @property {() => void} whole
 * @property {() => void} actual
 * @property {() => void} save
 * @property {() => void} full
 */

const MODE_BUTTONS = [
    ["wipe", "Wipe", "1"],
    ["side", "Side by side", "2"],
    ["difference", "Difference", "3"],
];

/**
 * Builds the controls.
 * @param {Actions} actions
 * @returns {{element: HTMLElement, show: (state: object) => void}} `show` takes the view, the frame (from 0), the number
 *     of frames, fps, isPlaying, isFull and isReady.
 */
export function makeControls(actions) {
    const timeline = slider("Frame", { min: 0, max: 1, step: 1 }, (frame) => actions.seek(frame));
    const count = make("span", { class: "gvr-cv-count" });
    const play = iconButton("play", "Play", "Space", actions.toggle);
    const back = iconButton("back", "One frame back", "←", () => actions.step(-1));
    const forward = iconButton("forward", "One frame forward", "→", () => actions.step(1));
    const loop = iconButton("loop", "Loop", "L", () => actions.change({ loop: loop.getAttribute("aria-pressed") !== "true" }));
    const speed = make("select", { class: "gvr-cv-select", "aria-label": "Speed", title: "Speed" },
        ...SPEEDS.map((value) => make("option", { value }, `${value}×`)));
    speed.addEventListener("change", () => actions.change({ speed: Number(speed.value) }));
    const modes = MODE_BUTTONS.map(([mode, label, key]) => iconButton(mode, label, key, () => actions.change({ mode })));
    const gain = slider("Amplification of the difference", { min: GAINS.least, max: GAINS.most, step: 1 },
        (value) => actions.change({ gain: value }));
    const gainText = make("output", {});
    const gainRow = make("div", { class: "gvr-cv-gain" }, make("span", {}, "Amplify"), gain, gainText);
    const minus = iconButton("minus", "Zoom out", "−", () => actions.zoom(1 / 1.5));
    const plus = iconButton("plus", "Zoom in", "+", () => actions.zoom(1.5));
    const whole = iconButton("fit", "Show the whole picture", "0", actions.whole);
    const actual = make("button", { type: "button", class: "gvr-cv-button gvr-cv-zoom" });
    actual.addEventListener("click", actions.actual);
    const save = iconButton("still", "Save this frame as a PNG", "S", actions.save);
    const full = iconButton("full", "Full screen", "F", actions.full);

    const group = (label, className, ...children) =>
        make("div", { class: `gvr-cv-group ${className}`.trim(), role: "group", "aria-label": label }, ...children);
    const element = make("div", { class: "gvr-cv-controls" },
        gainRow,
        make("div", { class: "gvr-cv-time" }, timeline, count),
        make("div", { class: "gvr-cv-bar" },
            group("Playback", "", back, play, forward, loop, speed),
            group("Mode", "gvr-cv-modes", ...modes),
            group("Zoom", "gvr-cv-zooms", minus, actual, plus, whole),
            group("Picture", "gvr-cv-pictures", save, full)));
    const all = [timeline, play, back, forward, loop, speed, ...modes, gain, minus, plus, whole, actual, save, full];

    return { element, show };

    function show({ view, frame, frames, fps, isPlaying, isFull, isReady }) {
        for (const control of all) control.disabled = !isReady;
        timeline.max = String(Math.max(1, frames - 1));
        timeline.value = String(frame);
        const seconds = (frame / fps).toFixed(2);
        timeline.setAttribute("aria-valuetext", `frame ${frame + 1} of ${frames}, ${seconds} seconds`);
        count.replaceChildren(make("b", {}, isReady ? String(frame + 1) : "–"), ` / ${isReady ? frames : "–"}`);
        count.title = isReady ? `${seconds} s at ${Number(fps.toFixed(3))} frames per second` : "";
        rename(play, isPlaying ? "pause" : "play", isPlaying ? "Pause" : "Play", "Space");
        rename(full, isFull ? "leave" : "full", isFull ? "Leave full screen" : "Full screen", "F");
        loop.setAttribute("aria-pressed", String(view.loop));
        speed.value = String(view.speed);
        modes.forEach((button, index) => button.setAttribute("aria-pressed", String(MODE_BUTTONS[index][0] === view.mode)));
        gainRow.hidden = view.mode !== "difference";
        gain.value = String(view.gain);
        gain.setAttribute("aria-valuetext", `${view.gain} times`);
        gainText.textContent = `×${view.gain}`;
        const zoom = view.zoom < 9.95 ? view.zoom.toFixed(1) : view.zoom.toFixed(0);
        actual.textContent = `${zoom}×`;
        actual.setAttribute("aria-label", `Zoom ${zoom}, show pixels at their own size`);
        actual.title = "Show the larger clip's pixels at their own size (P)";
        minus.disabled = whole.disabled = !isReady || view.zoom <= 1;
    }
}

function rename(button, name, label, key) {
    if (button.getAttribute("aria-label") === label) return;
    button.setAttribute("aria-label", label);
    button.title = `${label} (${key})`;
    button.replaceChildren(icon(name));
}
