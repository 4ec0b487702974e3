/** The cost of a run in a few lines: size, forms of attention with time and memory, a warning, what to change. */

import { bytes, child, duration, plural, terms } from "../graph/words.mjs";

const NAMES = { full: "full", units: "temporal units", sparse: "sparse local" };

/**
 * What the server says of a run.
 * @typedef {object} Cost
 * @property {{frames: number, height: number, width: number}} output
 * @property {number} [tokens]
 * @property {number} [evaluations]
 * @property {[number, number][]} [stretches]
 * @property {{form: string, used: boolean, seconds: number|null, rough: boolean, flops: number, bytes: number}[]|null} forms
 * @property {boolean} [calibrated]
 * @property {string[]} [warnings]
 * @property {string[]} [suggestions]
 * @property {string[]} [assumed]
 * @property {string} [sizeNote] where the size comes from, if not from the graph
 * @property {string} [problem]
 */

const size = ({ frames, height, width }) => `${width} × ${height}, ${plural(frames, "frame")}`;

function timeOf(form, forms) {
  if (form.seconds !== null) return `${form.rough ? "≈" : "~"} ${duration(form.seconds)}`;
  const used = forms.find((each) => each.used);
  const ratio = form.flops / used.flops;
  return form.used ? "not calibrated" : `× ${ratio >= 10 ? Math.round(ratio) : Number(ratio.toPrecision(2))} work`;
}

/**
 * Shows a cost, and again whenever told to.
 * @param {HTMLElement} container
 * @returns {{render: (cost: Cost) => void, destroy: () => void}}
 */
export function mountCost(container) {
  const root = child(container, "div", "gvr-cost");
  const box = child(root, "div", "gvr-cost-box");
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Cost of the run");
  // One short sentence is read out when it changes; the table can be read at leisure.
  const live = child(box, "div", "gvr-cost-live");
  live.setAttribute("aria-live", "polite");
  const head = child(live, "div", "gvr-cost-head");
  const warning = document.createElement("div");
  const sub = child(box, "div", "gvr-cost-sub");
  const table = child(box, "div", "gvr-cost-table");
  const note = child(box, "div", "gvr-cost-note");
  live.append(warning);
  const advice = child(box, "ul", "gvr-cost-advice");

  return {
    render: (cost) => {
      const known = Boolean(cost.output);
      head.textContent = known ? `Output ${size(cost.output)}` : cost.problem ?? "";
      const sum = cost.stretches && terms(cost.stretches);
      const facts = [cost.sizeNote];
      if (cost.tokens) facts.push(plural(cost.tokens, "token"));
      if (cost.evaluations) facts.push(plural(cost.evaluations, "evaluation") + (sum ? ` (${sum})` : ""));
      sub.textContent = facts.filter(Boolean).join(", ");
      fillWarnings(warning, [...(cost.warnings ?? []), known && cost.problem].filter(Boolean));
      table.replaceChildren(...(cost.forms ? [formTable(cost.forms)] : []));
      note.textContent = [...status(cost), ...(cost.assumed ?? [])].join(" ");
      advice.replaceChildren();
      for (const text of cost.suggestions ?? []) child(advice, "li", "", text);
    },
    destroy: () => root.remove(),
  };
}

function fillWarnings(element, warnings) {
  element.replaceChildren();
  for (const text of warnings) child(element, "div", "gvr-cost-warning", `⚠ ${text}`);
}

function status(cost) {
  if (!cost.forms) return [];
  const where = cost.device === "cpu" ? "this CPU" : "this GPU";
  if (!cost.calibrated) return [`Not calibrated: times are known after the first run on ${where}.`];
  const rough = cost.forms.some((form) => form.rough) ? ["≈ is rough: that has not run here yet."] : [];
  return [`Sampling only, from ${plural(cost.runs, "run")} on ${where}.`, ...rough];
}

function formTable(forms) {
  const table = document.createElement("table");
  child(table, "caption", "", "Time and memory of each form of attention");
  const header = child(child(table, "thead", ""), "tr", "");
  for (const text of ["", "time", "memory"]) child(header, "th", "", text).setAttribute("scope", "col");
  const body = child(table, "tbody", "");
  for (const form of forms) {
    const row = child(body, "tr", form.used ? "gvr-cost-used" : "");
    row.dataset.form = form.form;
    const name = child(row, "th", "", NAMES[form.form]);
    name.setAttribute("scope", "row");
    if (form.used) {
      row.title = "What will run: the checkpoint's own, or that of Sparse Local Attention";
      name.textContent += ", used";
    }
    child(row, "td", "", timeOf(form, forms));
    child(row, "td", "", `~ ${bytes(form.bytes)}`);
  }
  return table;
}
