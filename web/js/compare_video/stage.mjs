// The pictures: two videos laid over or beside each other, the same part of both in view.

import { make, slider } from "./elements.mjs";
import { addGrip } from "./grip.mjs";
import { bounded, fit, showsPixels, sidePanes, zoomedAt } from "./view.mjs";

const GAP = 2;
const SAME_SHAPE = 0.03;

/**
 * The stage of a player.
 *
 * Attributes: element, videos (of a and b), widest (pixels of the larger clip's rows), ratio (its width to height).
 */
export class Stage {
    #panes;
    #pictures;
    #names;
    #line;
    #observer;
    #clips = null;

    /**
     * @param {() => import("./view.mjs").View} view The view as it is.
     * @param {(change: Partial<import("./view.mjs").View>) => void} onChange
     */
    constructor(view, onChange) {
        this.view = view;
        this.onChange = onChange;
        this.widest = 1;
        this.ratio = 16 / 9;
        const video = () => make("video", { muted: true, playsinline: true, preload: "auto", tabindex: -1,
            disablepictureinpicture: true, disableremoteplayback: true, "aria-hidden": "true" });
        this.videos = [video(), video()];
        // The attribute alone mutes a video of a parsed page only.
        for (const element of this.videos) element.muted = true;
        this.#pictures = this.videos.map((element) => make("div", { class: "gvr-cv-picture" }, element));
        this.#panes = this.#pictures.map((picture) => make("div", { class: "gvr-cv-pane" }, picture));
        this.#names = ["a", "b"].map((which) => make("div", { class: `gvr-cv-name gvr-cv-name-${which}` }));
        this.wipe = slider("Wipe: how much of the first clip is shown", { min: 0, max: 100, step: 1,
            className: "gvr-cv-unseen gvr-cv-range-line" }, (value) => onChange({ wipe: value / 100 }));
        this.#line = make("div", { class: "gvr-cv-line" });
        this.group = make("div", { class: "gvr-cv-panes" }, ...this.#panes);
        this.element = make("div", { class: "gvr-cv-stage" }, this.group, ...this.#names, this.wipe, this.#line);
        this.#observer = new ResizeObserver(() => this.show());
        this.#observer.observe(this.element);
        addGrip(this);
    }

    /**
     * Shows other clips.
     * @param {{a: object, b: object} | null} clips Each with size and coded, [width, height].
     * @param {string[]} urls
     */
    load(clips, urls) {
        this.#clips = clips;
        this.videos.forEach((video, index) => {
            if (urls[index]) {
                video.src = urls[index];
            } else {
                video.removeAttribute("src");
            }
            video.load();
        });
        if (clips === null) return;
        const larger = clips.b.size[0] >= clips.a.size[0] ? clips.b : clips.a;
        this.widest = larger.size[0];
        this.ratio = larger.size[0] / larger.size[1];
        this.larger = larger.size;
        this.show();
    }

    /** @param {string[]} labels Of a and b. */
    name(labels) {
        this.labels = labels;
        this.show();
    }

    /** Where a video lies in a picture of the common shape, as shares: whole if the shapes agree, centred if not. */
    place(clip) {
        const own = clip.size[0] / clip.size[1];
        const apart = own / this.ratio;
        if (Math.abs(apart - 1) <= SAME_SHAPE) return { x: 0, y: 0, width: 1, height: 1 };
        const width = Math.min(1, apart);
        const height = Math.min(1, 1 / apart);
        return { x: (1 - width) / 2, y: (1 - height) / 2, width, height };
    }

    /** The clips' descriptions, null where there are none. */
    get clips() {
        return this.#clips;
    }

    /** Rectangles of the two panes in the stage. */
    panes() {
        const stage = { width: this.element.clientWidth, height: this.element.clientHeight };
        if (this.view().mode === "side") return sidePanes(stage, this.ratio, GAP);
        return [{ left: 0, top: 0, ...stage }, { left: 0, top: 0, ...stage }];
    }

    /** Puts everything where the view wants it. */
    show() {
        const panes = this.panes();
        if (this.#clips === null || !(panes[0].width > 0 && panes[0].height > 0)) return;
        const view = bounded(this.view(), panes[0], this.ratio, this.widest);
        const size = fit(panes[0], this.ratio);
        const { dataset } = this.element;
        dataset.mode = view.mode;
        dataset.zoomed = String(view.zoom > 1);
        dataset.pixels = String(showsPixels(size.width, view.zoom, this.widest));
        panes.forEach((pane, index) => {
            const clip = index ? this.#clips.b : this.#clips.a;
            setBox(this.#panes[index], pane);
            const left = pane.width / 2 - view.x * size.width * view.zoom;
            const top = pane.height / 2 - view.y * size.height * view.zoom;
            const place = this.place(clip);
            const box = { width: size.width * place.width, height: size.height * place.height };
            const style = this.#pictures[index].style;
            style.width = `${box.width}px`;
            style.height = `${box.height}px`;
            const x = left + place.x * size.width * view.zoom;
            const y = top + place.y * size.height * view.zoom;
            style.transform = `translate(${x}px, ${y}px) scale(${view.zoom})`;
            this.videos[index].style.width = `${(100 * clip.coded[0]) / clip.size[0]}%`;
            this.videos[index].style.height = `${(100 * clip.coded[1]) / clip.size[1]}%`;
        });
        const isWipe = view.mode === "wipe";
        this.#panes[1].style.clipPath = isWipe ? `inset(0 0 0 ${100 * view.wipe}%)` : "";
        this.#line.hidden = this.wipe.hidden = !isWipe;
        this.#line.style.left = `${100 * view.wipe}%`;
        this.wipe.value = String(Math.round(100 * view.wipe));
        this.wipe.setAttribute("aria-valuetext", `${Math.round(100 * view.wipe)} % ${this.labels?.[0] ?? "a"}`);
        this.group.style.filter = view.mode === "difference" ? `brightness(${view.gain})` : "";
        this.#showNames(view, panes);
    }

    /**
     * Zooms around a point of the stage, its middle where none is given.
     * @param {number} factor
     * @param {{x: number, y: number}} [at] Pixels from the stage's upper left corner.
     */
    zoom(factor, at) {
        const [pane, other] = this.panes();
        const inPane = at && at.x >= other.left && at.y >= other.top ? other : pane;
        const point = at
            ? { x: at.x - inPane.left - pane.width / 2, y: at.y - inPane.top - pane.height / 2 }
            : { x: 0, y: 0 };
        const { zoom, x, y } = zoomedAt(this.view(), factor, point, pane, this.ratio, this.widest);
        this.onChange({ zoom, x, y });
    }

    /** Moves the pictures by pixels of the stage. */
    pan(dx, dy) {
        const [pane] = this.panes();
        const size = fit(pane, this.ratio);
        const view = this.view();
        const moved = { ...view, x: view.x - dx / (size.width * view.zoom), y: view.y - dy / (size.height * view.zoom) };
        const { x, y } = bounded(moved, pane, this.ratio, this.widest);
        this.onChange({ x, y });
    }

    /** Zoom at which a pixel of the larger clip is one of the display. */
    actualZoom() {
        const [pane] = this.panes();
        const onScreen = this.#scale() * (window.devicePixelRatio || 1);
        return this.widest / (fit(pane, this.ratio).width * onScreen);
    }

    destroy() {
        this.#observer.disconnect();
        this.load(null, []);
    }

    #showNames(view, panes) {
        const [one, two] = this.labels ?? ["a", "b"];
        const size = (clip) => `${clip.source[0]} × ${clip.source[1]}`;
        const isDifference = view.mode === "difference";
        const [a, b] = this.#names;
        a.replaceChildren(isDifference ? `| ${one} − ${two} | × ${view.gain}` : one);
        b.replaceChildren(two);
        if (!isDifference) a.append(make("small", {}, size(this.#clips.a)));
        b.append(make("small", {}, size(this.#clips.b)));
        b.hidden = isDifference;
        const isSide = view.mode === "side";
        b.style.translate = isSide ? `${panes[1].left}px ${panes[1].top}px` : "";
        // A name goes with its side of the line.
        const width = panes[0].width;
        const room = (share) => `${Math.max(0, width * share - 14)}px`;
        a.style.maxWidth = isDifference ? "" : isSide ? room(1) : room(view.wipe);
        b.style.maxWidth = isSide ? room(1) : room(1 - view.wipe);
        a.style.visibility = !isDifference && !isSide && width * view.wipe < 40 ? "hidden" : "";
        b.style.visibility = !isSide && width * (1 - view.wipe) < 40 ? "hidden" : "";
    }

    /** Pixels on the screen of one of the stage's: the graph's zoom. */
    #scale() {
        return this.element.getBoundingClientRect().width / this.element.offsetWidth || 1;
    }

    /** Point of an event in the stage's own pixels. */
    pointOf(event) {
        const box = this.element.getBoundingClientRect();
        const scale = this.#scale();
        return { x: (event.clientX - box.left) / scale, y: (event.clientY - box.top) / scale };
    }
}

function setBox(element, { left, top, width, height }) {
    Object.assign(element.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}
