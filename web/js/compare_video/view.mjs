// What part of the pictures is seen, in numbers: all lengths are CSS pixels of the page before the graph's own zoom.

/**
 * The view of a player, kept in the workflow.
 * @typedef {object} View
 * @property {"wipe" | "side" | "difference"} mode
 * @property {number} wipe Share of the stage that shows a, 0 to 1.
 * @property {number} gain Amplification of the difference, 1 to 32.
 * @property {number} zoom 1 shows the whole picture.
 * @property {number} x Point of the picture in the middle of the stage, 0 to 1 from the left.
 * @property {number} y The same from the top.
 * @property {number} speed Factor, one of SPEEDS.
 * @property {boolean} loop
 */

export const MODES = ["wipe", "side", "difference"];
export const SPEEDS = [0.1, 0.25, 0.5, 1, 2];
export const GAINS = { least: 1, most: 32 };

/** @type {Readonly<View>} */
export const FIRST_VIEW = Object.freeze({
    mode: "wipe", wipe: 0.5, gain: 4, zoom: 1, x: 0.5, y: 0.5, speed: 1, loop: true,
});

const LARGEST_PIXEL = 32;
const PIXELATED_FROM = 2;

/**
 * A whole view from one that was saved, whatever has become of it.
 * @param {unknown} saved
 * @returns {View}
 */
export function viewFrom(saved) {
    const given = saved !== null && typeof saved === "object" ? saved : {};
    const number = (name, least, most) =>
        Number.isFinite(given[name]) ? clamp(given[name], least, most) : FIRST_VIEW[name];
    return {
        mode: MODES.includes(given.mode) ? given.mode : FIRST_VIEW.mode,
        wipe: number("wipe", 0, 1),
        gain: number("gain", GAINS.least, GAINS.most),
        zoom: number("zoom", 1, 1e4),
        x: number("x", 0, 1),
        y: number("y", 0, 1),
        speed: SPEEDS.includes(given.speed) ? given.speed : FIRST_VIEW.speed,
        loop: typeof given.loop === "boolean" ? given.loop : FIRST_VIEW.loop,
    };
}

/** @param {number} value @param {number} least @param {number} most */
export function clamp(value, least, most) {
    return Math.min(most, Math.max(least, value));
}

/**
 * The largest size of a shape inside a pane.
 * @param {{width: number, height: number}} pane
 * @param {number} ratio Width to height of the picture.
 */
export function fit(pane, ratio) {
    const width = Math.min(pane.width, pane.height * ratio);
    return { width, height: width / ratio };
}

/**
 * The panes of side by side: beside each other or below, whichever leaves the larger pictures.
 * @param {{width: number, height: number}} stage
 * @param {number} ratio
 * @param {number} gap
 */
export function sidePanes(stage, ratio, gap) {
    const beside = { width: (stage.width - gap) / 2, height: stage.height };
    const below = { width: stage.width, height: (stage.height - gap) / 2 };
    const isBeside = fit(beside, ratio).width >= fit(below, ratio).width;
    const pane = isBeside ? beside : below;
    const offset = isBeside ? [pane.width + gap, 0] : [0, pane.height + gap];
    return [{ left: 0, top: 0, ...pane }, { left: offset[0], top: offset[1], ...pane }];
}

/**
 * The view with its zoom in range and its middle such that no empty stripe shows where there is picture to fill it.
 * @param {View} view
 * @param {{width: number, height: number}} pane
 * @param {number} ratio
 * @param {number} widest Pixels of the larger clip's rows.
 * @returns {View}
 */
export function bounded(view, pane, ratio, widest) {
    const size = fit(pane, ratio);
    const zoom = clamp(view.zoom, 1, mostZoom(size.width, widest));
    const middle = (at, length, room) => {
        const half = room / (2 * length * zoom);
        return half >= 0.5 ? 0.5 : clamp(at, half, 1 - half);
    };
    return {
        ...view, zoom,
        x: middle(view.x, size.width, pane.width),
        y: middle(view.y, size.height, pane.height),
    };
}

/** Zoom at which a pixel of the larger clip is LARGEST_PIXEL wide. */
export function mostZoom(fitted, widest) {
    return Math.max(8, (LARGEST_PIXEL * widest) / Math.max(1, fitted));
}

/** Whether pixels are large enough to be shown as the squares they are. */
export function showsPixels(fitted, zoom, widest) {
    return (fitted * zoom) / widest >= PIXELATED_FROM;
}

/**
 * The view after zooming by a factor around a point of the pane that keeps its place.
 * @param {View} view
 * @param {number} factor
 * @param {{x: number, y: number}} point From the pane's middle.
 * @param {{width: number, height: number}} pane
 * @param {number} ratio
 * @param {number} widest
 * @returns {View}
 */
export function zoomedAt(view, factor, point, pane, ratio, widest) {
    const size = fit(pane, ratio);
    const zoom = clamp(view.zoom * factor, 1, mostZoom(size.width, widest));
    const shift = 1 / view.zoom - 1 / zoom;
    const moved = { ...view, zoom, x: view.x + (point.x / size.width) * shift, y: view.y + (point.y / size.height) * shift };
    return bounded(moved, pane, ratio, widest);
}
