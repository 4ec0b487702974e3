/** A DOM widget that only shows something: never saved, as tall as its content in both renderers. */

import { keepMounted } from "./mounting.mjs";

/**
 * @param {string} id of the style element
 * @param {string} css
 */
export function injectStyle(id, css) {
  if (document.getElementById(id)) return;
  const style = document.createElement("style");
  style.id = id;
  style.textContent = css;
  document.head.append(style);
}

/**
 * Adds a widget below the others of a node.
 * @param {object} node
 * @param {string} name of the widget
 * @param {number} least height in units of the graph
 * @returns {{content: HTMLElement, fit: () => void}} where to draw, and a function to call when its height has changed
 */
export function addDisplay(node, name, least) {
  const element = document.createElement("div");
  element.className = "gvr-display";
  // Nodes 2.0 goes by the style, the classic renderer by getMinHeight.
  element.style.cssText = `min-height:${least}px;width:100%;box-sizing:border-box;overflow:hidden`;
  const content = document.createElement("div");
  element.append(content);
  let known = least;
  const height = () => {
    // What is scrolled out of sight has no height, and keeps the one it had.
    if (content.offsetHeight) known = Math.max(least, Math.ceil(content.offsetHeight) + 2);
    return known;
  };
  const widget = node.addDOMWidget(name, name, element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: height,
    getMaxHeight: height,
    getValue: () => "",
    setValue: () => {},
  });
  // Its value must not stand in the workflow, where it would shift nothing but be read as something.
  widget.serialize = false;
  keepMounted(node, name, element);
  let last = 0;
  const fit = () => {
    const now = height();
    if (now === last || !content.isConnected) return;
    last = now;
    element.style.minHeight = `${now}px`;
    const [, needed] = node.computeSize();
    if (node.size[1] < needed) node.setSize([node.size[0], needed]);
    node.setDirtyCanvas?.(true, true);
  };
  new ResizeObserver(fit).observe(content);
  return { content, fit };
}
