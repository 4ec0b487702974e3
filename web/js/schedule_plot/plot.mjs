/** The plot of a schedule: sigmas over steps, the reference window, evaluations of each step, the present step. */

import { child, plural, terms } from "../graph/words.mjs";

const NS = "http://www.w3.org/2000/svg";
/** Height of the view box: the curve above, the bars of evaluations below. */
const [TOP, BOTTOM, BARS, FLOOR] = [12, 62, 70, 82];
const HEIGHT = 84;
const WIDTH = 100;
/** Room for the dots at both ends. */
const EDGE = 1.5;
/** Evaluations of a step that fill the bars: text and references together. */
const FULL_BAR = 3;
const MOST_DOTS = 40;
const MOST_POINTS = 500;

/**
 * What the server says of a schedule.
 * @typedef {object} Schedule
 * @property {number[]|null} sigmas
 * @property {number|null} steps
 * @property {[number, number][]} stretches steps and evaluations in each of them
 * @property {number} evaluations
 * @property {boolean} open the stretches are those of a run whose length is not known
 * @property {number} n_ref end of the reference window, 0 where it has no effect
 * @property {number} shift
 * @property {"widget"|"checkpoint"|"assumed"} shift_source
 * @property {string[]} assumed
 * @property {string|null} problem
 */

function shape(svg, tag, className, attributes = {}) {
  const element = document.createElementNS(NS, tag);
  element.setAttribute("class", className);
  element.setAttribute("vector-effect", "non-scaling-stroke");
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  svg.append(element);
  return element;
}

/**
 * @param {Schedule} data
 * @returns {string} "50 steps, 115 evaluations: 15 × 3 + 35 × 2"
 */
export function caption(data) {
  if (data.open) return openCaption(data);
  if (!data.steps) return "";
  const sum = terms(data.stretches);
  return `${plural(data.steps, "step")}, ${plural(data.evaluations, "evaluation")}${sum ? `: ${sum}` : ""}`;
}

function openCaption({ stretches }) {
  if (!stretches.length) return "Steps come from the SIGMAS node.";
  const last = stretches.at(-1)[1];
  const head = stretches.length > 1 ? `first ${plural(stretches[0][0], "step")}: ${stretches[0][1]} each, then ${last}` : `${last} each`;
  return `Evaluations: ${head}. Steps come from the SIGMAS node.`;
}

/**
 * Draws a schedule, and again whenever told to.
 * @param {HTMLElement} container
 * @returns {{render: (data: Schedule) => void, mark: (step: number|null) => void, destroy: () => void}}
 */
export function mountPlot(container) {
  const root = child(container, "div", "gvr-plot");
  const area = child(root, "div", "gvr-plot-area");
  area.setAttribute("role", "img");
  const text = child(root, "div", "gvr-plot-text");
  const note = child(root, "div", "gvr-plot-note");
  const problem = child(root, "div", "gvr-plot-problem");
  problem.setAttribute("role", "status");
  let data = null;
  let now = null;

  const draw = () => {
    area.replaceChildren();
    if (!data) return;
    // Without a length the axis is neutral, and shows the window with as much behind it.
    const steps = data.open ? Math.max(2, 2 * data.n_ref) : data.steps ?? 0;
    if (!steps) return;
    const x = (step) => EDGE + (step / steps) * (WIDTH - 2 * EDGE);
    const svg = document.createElementNS(NS, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    area.append(svg);
    const last = Math.min(data.n_ref, steps);
    if (last > 0) {
      shape(svg, "rect", "gvr-plot-window", { x: x(0), y: 0, width: x(last) - x(0), height: HEIGHT });
      child(area, "span", "gvr-plot-tag", "references").style.cssText = "left:2px;bottom:16px";
    }
    if (now !== null) shape(svg, "rect", "gvr-plot-done", { x: x(0), y: 0, width: x(now) - x(0), height: HEIGHT });
    drawBars(svg, data, steps, x);
    if (data.sigmas) drawCurve(svg, area, data.sigmas, x);
    if (now !== null) {
      shape(svg, "line", "gvr-plot-now", { x1: x(now), x2: x(now), y1: 0, y2: HEIGHT });
      const tag = child(area, "span", "gvr-plot-tag gvr-plot-strong", `${now} / ${data.steps ?? "?"}`);
      tag.dataset.now = String(now);
      tag.style.cssText = now > steps / 2 ? `right:${100 - x(now)}%;top:2px` : `left:${x(now)}%;top:2px`;
    }
  };

  return {
    render: (next) => {
      data = next;
      text.textContent = caption(data);
      const shift = data.sigmas && data.shift_source !== "assumed" && data.shift_source ? `shift ${data.shift}${data.shift_source === "checkpoint" ? ", the checkpoint's own" : ""}` : "";
      note.textContent = [shift, ...data.assumed].filter(Boolean).join("; ");
      problem.textContent = data.problem ?? "";
      area.style.display = data.steps || data.open ? "" : "none";
      area.setAttribute("aria-label", describe(data, now));
      draw();
    },
    mark: (step) => {
      now = step === null ? null : Math.min(step, data?.steps ?? step);
      if (data) area.setAttribute("aria-label", describe(data, now));
      draw();
    },
    destroy: () => root.remove(),
  };
}

/** The plot in words, for screen readers. */
function describe(data, now) {
  const parts = [caption(data)];
  const { sigmas } = data;
  if (sigmas?.length > 1) {
    const half = sigmas[Math.floor(sigmas.length / 2)];
    parts.push(`sigma from ${sigmas[0]} over ${half} in the middle to ${sigmas.at(-1)}`);
  }
  if (data.n_ref > 0) parts.push(`references guide the first ${plural(data.n_ref, "step")}`);
  if (now !== null) parts.push(`at step ${now}`);
  return `Schedule: ${parts.filter(Boolean).join("; ")}`;
}

function drawBars(svg, data, steps, x) {
  const most = Math.max(FULL_BAR, ...data.stretches.map(([, each]) => each));
  let start = 0;
  data.stretches.forEach(([count, each], index) => {
    const end = data.open && index === data.stretches.length - 1 ? steps : start + count;
    const height = ((FLOOR - BARS) * each) / most;
    const width = x(end) - x(start);
    shape(svg, "rect", "gvr-plot-bars", { x: x(start), y: FLOOR - height, width, height });
    start = end;
  });
}

function drawCurve(svg, area, sigmas, x) {
  const highest = Math.max(1, sigmas[0]);
  const y = (sigma) => BOTTOM - (sigma / highest) * (BOTTOM - TOP);
  const every = Math.ceil(sigmas.length / MOST_POINTS);
  const shown = sigmas.map((sigma, step) => [x(step), y(sigma)]).filter((_, step) => step % every === 0 || step === sigmas.length - 1);
  const path = shown.map(([a, b], index) => `${index ? "L" : "M"}${a.toFixed(2)} ${b.toFixed(2)}`).join("");
  shape(svg, "path", "gvr-plot-line", { d: path });
  // Lines of no length with round ends: circles that the stretched picture leaves round.
  if (sigmas.length <= MOST_DOTS) {
    shape(svg, "path", "gvr-plot-dots", { d: shown.map(([a, b]) => `M${a.toFixed(2)} ${b.toFixed(2)}h0`).join("") });
  }
  child(area, "span", "gvr-plot-tag", `sigma ${Number(sigmas[0].toFixed(2))} to 0`).style.cssText = "right:2px;top:2px";
}
