// Icons of the player, 16 × 16, drawn with the text's colour.

const SHAPES = {
    play: ["M5 3.2 12.5 8 5 12.8Z", true],
    pause: ["M4.5 3h2.4v10H4.5zM9.1 3h2.4v10H9.1z", true],
    back: ["M10.8 3.4 5.2 8l5.6 4.6ZM3.2 3.4h1.5v9.2H3.2z", true],
    forward: ["M5.2 3.4 10.8 8l-5.6 4.6ZM11.3 3.4h1.5v9.2h-1.5z", true],
    loop: ["M3 7.6V6.4a2 2 0 0 1 2-2h7.6M10.4 2.2l2.2 2.2-2.2 2.2M13 8.4v1.2a2 2 0 0 1-2 2H3.4M5.6 13.8l-2.2-2.2 2.2-2.2"],
    wipe: ["M2.5 3.5h11v9h-11zM8 1.5v13M5.9 6.6 4.5 8l1.4 1.4M10.1 6.6 11.5 8l-1.4 1.4"],
    side: ["M2 4h5.2v8H2zM8.8 4H14v8H8.8z"],
    difference: ["M2.5 3h7.5v7.5H2.5zM6 6h7.5v7.5H6z"],
    minus: ["M3.5 8h9"],
    plus: ["M3.5 8h9M8 3.5v9"],
    fit: ["M2.5 5.8V3h3M10.5 3h3v2.8M13.5 10.2V13h-3M5.5 13h-3v-2.8"],
    still: ["M8 2.2v7.2M5.2 6.8 8 9.6l2.8-2.8M2.8 10.4v3h10.4v-3"],
    full: ["M9.4 2.8h3.8v3.8M13.2 2.8 9.3 6.7M6.6 13.2H2.8V9.4M2.8 13.2l3.9-3.9"],
    leave: ["M13.2 6.6H9.4V2.8M9.4 6.6l3.8-3.8M2.8 9.4h3.8v3.8M6.6 9.4l-3.8 3.8"],
    empty: ["M2 3.5h12v9H2zM8 1.8v12.4M4 10l2-2.4M10 10l1.6-2 1.2 1.4"],
};

/**
 * An icon by its name.
 * @param {keyof typeof SHAPES} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
    const [path, isFilled] = SHAPES[name];
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    svg.classList.add("gvr-cv-icon");
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
    shape.setAttribute("d", path);
    shape.setAttribute("fill", isFilled ? "currentColor" : "none");
    shape.setAttribute("stroke", isFilled ? "none" : "currentColor");
    svg.append(shape);
    return svg;
}
