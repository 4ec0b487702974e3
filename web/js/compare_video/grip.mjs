// Mouse and fingers on the pictures: one moves the line, or the pictures once they are enlarged; two zoom.

import { clamp } from "./view.mjs";

const NEAR = 18; // pixels from the line that still take hold of it
const LEAST_ENLARGED = 4; // zoom of a double click where the pixels' own size would be smaller

/**
 * Makes a stage follow pointers; it ends with the stage's element.
 * @param {import("./stage.mjs").Stage} stage
 */
export function addGrip(stage) {
    const { element } = stage;
    const pointers = new Map();
    let drag = null;

    element.addEventListener("pointerdown", down);
    element.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) element.addEventListener(name, up);
    element.addEventListener("dblclick", (event) => {
        if (stage.clips === null) return;
        const { zoom } = stage.view();
        const enlarged = Math.max(stage.actualZoom(), LEAST_ENLARGED);
        stage.zoom(zoom > 1 ? 1 / zoom : enlarged / zoom, stage.pointOf(event));
    });

    function down(event) {
        if (stage.clips === null || event.button !== 0) return;
        const point = stage.pointOf(event);
        pointers.set(event.pointerId, point);
        hold(event.pointerId);
        const { mode, zoom } = stage.view();
        if (pointers.size === 2) {
            drag = "pinch";
        } else if (pointers.size === 1) {
            const takesLine = mode === "wipe" && (zoom <= 1 || isNearLine(point));
            drag = takesLine ? "line" : zoom > 1 ? "pan" : null;
            if (drag === "line") moveLine(point);
        }
        element.dataset.drag = drag ?? "";
    }

    function move(event) {
        const point = stage.pointOf(event);
        const before = pointers.get(event.pointerId);
        if (!before) {
            element.dataset.atLine = String(stage.clips !== null && isNearLine(point));
            return;
        }
        if (drag === "pinch") {
            pinch(event.pointerId, before, point);
        } else if (drag === "line") {
            moveLine(point);
        } else if (drag === "pan") {
            stage.pan(point.x - before.x, point.y - before.y);
        }
        pointers.set(event.pointerId, point);
    }

    function pinch(pointer, before, point) {
        const other = [...pointers].find(([id]) => id !== pointer)?.[1];
        if (!other) return;
        const apart = (one) => Math.max(8, Math.hypot(one.x - other.x, one.y - other.y));
        stage.pan((point.x - before.x) / 2, (point.y - before.y) / 2);
        stage.zoom(apart(point) / apart(before), { x: (point.x + other.x) / 2, y: (point.y + other.y) / 2 });
    }

    function up(event) {
        if (!pointers.delete(event.pointerId)) return;
        drag = null;
        element.dataset.drag = "";
    }

    function isNearLine(point) {
        const { mode, wipe } = stage.view();
        return mode === "wipe" && Math.abs(point.x - wipe * element.clientWidth) < NEAR;
    }

    function moveLine(point) {
        stage.onChange({ wipe: clamp(point.x / element.clientWidth, 0, 1) });
    }

    /** Moves come here from now on, wherever the pointer is; one that is gone already cannot be held. */
    function hold(pointer) {
        try {
            element.setPointerCapture(pointer);
        } catch (error) {
            if (error.name !== "NotFoundError") throw error;
        }
    }
}
