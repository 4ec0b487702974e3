// Page elements in one call.

import { icon } from "./icons.mjs";

/**
 * An element with attributes and children. Attributes that are false or undefined are left out.
 * @param {string} name
 * @param {Record<string, string | number | boolean | undefined>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
        if (value === false || value === undefined) continue;
        element.setAttribute(key, value === true ? "" : String(value));
    }
    element.append(...children);
    return element;
}

/**
 * A button with an icon. The label says what it does, the tooltip its key as well.
 * @param {string} name Icon.
 * @param {string} label
 * @param {string} key
 * @param {() => void} action
 * @returns {HTMLButtonElement}
 */
export function iconButton(name, label, key, action) {
    const title = key ? `${label} (${key})` : label;
    const button = make("button", { type: "button", class: "gvr-cv-button", "aria-label": label, title }, icon(name));
    button.addEventListener("click", action);
    return button;
}

/**
 * A slider that tells every change while it is dragged.
 * @param {string} label
 * @param {{min: number, max: number, step: number, className?: string}} range
 * @param {(value: number) => void} action
 * @returns {HTMLInputElement}
 */
export function slider(label, { min, max, step, className = "" }, action) {
    const attributes = { type: "range", class: `gvr-cv-range ${className}`.trim(), min, max, step, "aria-label": label };
    const input = make("input", { ...attributes, title: label });
    input.addEventListener("input", () => action(Number(input.value)));
    return input;
}
