// The current frame as a picture, composed as it is seen, as large as the larger clip.

import { showsPixels } from "./view.mjs";

/**
 * Draws what the stage shows.
 * @param {import("./stage.mjs").Stage} stage Its videos paused on the frame.
 * @param {import("./view.mjs").View} view
 * @param {number} fitted Width of the whole picture on the stage at zoom 1, CSS pixels.
 * @returns {HTMLCanvasElement} Of the larger clip's size; twice as wide or as high side by side.
 */
export function drawStill(stage, view, fitted) {
    const [width, height] = stage.larger;
    const panes = stage.panes();
    const isSide = view.mode === "side";
    const isBeside = isSide && panes[1].left > 0;
    const canvas = document.createElement("canvas");
    canvas.width = isBeside ? 2 * width : width;
    canvas.height = isSide && !isBeside ? 2 * height : height;
    const context = canvas.getContext("2d", { willReadFrequently: view.mode === "difference" });
    context.imageSmoothingEnabled = !showsPixels(fitted, view.zoom, stage.widest);
    context.imageSmoothingQuality = "high";
    const draw = (which, left, top) => drawClip(context, stage, which, view, { left, top, width, height });
    if (view.mode === "difference") {
        draw(0, 0, 0);
        context.globalCompositeOperation = "difference";
        draw(1, 0, 0);
        amplify(context, view.gain);
    } else if (isSide) {
        draw(0, 0, 0);
        draw(1, isBeside ? width : 0, isBeside ? 0 : height);
    } else {
        draw(0, 0, 0);
        // The line divides the stage, which may be wider than the picture.
        const line = (0.5 + ((view.wipe - 0.5) * panes[0].width) / fitted) * width;
        context.save();
        context.beginPath();
        context.rect(line, 0, width, height);
        context.clip();
        draw(1, 0, 0);
        context.restore();
        drawLine(context, line, width, height);
    }
    context.globalCompositeOperation = "source-over";
    drawNames(context, stage, view, { width, height, isSide, isBeside });
    return canvas;
}

/**
 * Hands a canvas to the user as a file.
 * @param {HTMLCanvasElement} canvas
 * @param {string} name
 */
export async function download(canvas, name) {
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    if (blob === null) throw new RangeError(`a picture of ${canvas.width} × ${canvas.height} is too large to be saved`);
    const url = URL.createObjectURL(blob);
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    // The browser reads it after the click; a minute is more than it takes.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * Name of a still: labels, mode and frame, without what file systems dislike.
 * @param {string[]} labels
 * @param {string} mode
 * @param {number} frame From 0.
 */
export function stillName(labels, mode, frame) {
    const words = [...labels, mode].map((text) => text.trim().replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 40));
    return `${words.filter(Boolean).join("-")}-${String(frame + 1).padStart(4, "0")}.png`;
}

function drawClip(context, stage, which, view, target) {
    const clip = which ? stage.clips.b : stage.clips.a;
    const place = stage.place(clip);
    const x = target.left + (0.5 + (place.x - view.x) * view.zoom) * target.width;
    const y = target.top + (0.5 + (place.y - view.y) * view.zoom) * target.height;
    context.save();
    context.beginPath();
    context.rect(target.left, target.top, target.width, target.height);
    context.clip();
    // The file may be a row or a column larger than the picture; that stays outside.
    context.drawImage(stage.videos[which], 0, 0, clip.size[0], clip.size[1], x, y,
        place.width * view.zoom * target.width, place.height * view.zoom * target.height);
    context.restore();
}

function amplify(context, gain) {
    const { width, height } = context.canvas;
    const image = context.getImageData(0, 0, width, height);
    const { data } = image;
    for (let index = 0; index < data.length; index++) {
        if (index % 4 !== 3) data[index] *= gain; // the array keeps it at 255
    }
    context.putImageData(image, 0, 0);
}

function drawLine(context, at, width, height) {
    if (at <= 0 || at >= width) return;
    const line = Math.max(1, Math.round(width / 960));
    context.fillStyle = "#0006";
    context.fillRect(at - line, 0, 2 * line, height);
    context.fillStyle = "#fff";
    context.fillRect(at - line / 2, 0, line, height);
}

function drawNames(context, stage, view, { width, height, isSide, isBeside }) {
    const size = Math.max(9, Math.round(height / 36));
    context.font = `${size}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    const pad = Math.round(size * 0.45);
    const write = (text, x, y, isRight) => {
        const length = context.measureText(text).width + 2 * pad;
        const left = isRight ? x - length - pad : x + pad;
        context.fillStyle = "#000000a8";
        context.fillRect(left, y + pad, length, size * 1.6);
        context.fillStyle = "#fff";
        context.fillText(text, left + pad, y + pad + size * 0.84);
    };
    const [a, b] = stage.labels;
    if (view.mode === "difference") {
        write(`| ${a} − ${b} | × ${view.gain}`, 0, 0, false);
        return;
    }
    if (isSide || view.wipe > 0.1) write(a, 0, 0, false);
    if (isSide) {
        write(b, isBeside ? width : 0, isBeside ? 0 : height, false);
    } else if (view.wipe < 0.9) {
        write(b, width, 0, true);
    }
}
