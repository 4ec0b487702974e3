/** What a run will cost, on Latent Cascade Upsample. */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { mountCost } from "./cost_line/line.mjs";
import { CSS } from "./cost_line/style.mjs";
import { addDisplay, injectStyle } from "./graph/dom_widget.mjs";
import { runFacts } from "./graph/facts.mjs";
import { latentSize, withFile } from "./graph/sizes.mjs";
import { upstream, valuesOf } from "./graph/walk.mjs";
import { watch, whileAlive } from "./graph/watcher.mjs";

const NODE = "GVRLatentCascadeUpsample";
const WIDGET = "gvr_cost";
const UI_KEY = "gvr_source";
const LEAST = 104;
const lines = new Set();
const files = new Map();

async function post(question, signal) {
  const body = JSON.stringify(question);
  const headers = { "Content-Type": "application/json" };
  const answer = await api.fetchApi("/gvr/cost", { method: "POST", body, headers, signal });
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  return answer.json();
}

/** Size of a video file in the input folder, asked for once; null where it is not to be had. */
async function fileInfo(file, signal) {
  if (!files.has(file)) {
    const answer = await api.fetchApi(`/gvr/video?${new URLSearchParams({ file })}`, { signal });
    const info = answer.ok ? await answer.json() : {};
    files.set(file, info.problem || !info.height ? null : info);
  }
  return files.get(file);
}

function collect(node, state) {
  const run = runFacts(node);
  return {
    ...run.model,
    ...valuesOf(node, ["target", "scale"]),
    size: latentSize(upstream(node, "samples")),
    connected: Boolean(upstream(node, "samples")),
    last: state.last,
    sampler: run.sampler,
    references: run.references,
    tile_size: run.tile,
  };
}

async function ask(question, signal) {
  const { size, last, connected, shift, ...rest } = question;
  let source = size;
  if (source?.file) {
    const info = await fileInfo(source.file, signal);
    source = info && withFile(source, info);
  }
  if (typeof source?.frames === "number") {
    const { before, ...clip } = source;
    return post({ ...rest, source: clip, before }, signal);
  }
  if (!connected) return { problem: "Connect samples to see what a run will cost." };
  if (!last) return { problem: "Size known after the first run." };
  const answer = await post({ ...rest, source: last }, signal);
  return { ...answer, sizeNote: "size of the last run" };
}

function addLine(node) {
  const { content } = addDisplay(node, WIDGET, LEAST);
  const line = mountCost(content);
  const state = { last: null };
  const current = whileAlive(node, () => {
    const watcher = watch(node, () => collect(node, state), ask, (answer) => line.render(answer));
    lines.add(watcher);
    return { ...watcher, stop: () => (lines.delete(watcher), watcher.stop()) };
  });
  const { onExecuted } = node;
  node.onExecuted = function (output) {
    state.last = output?.[UI_KEY]?.[0] ?? state.last;
    current()?.refresh();
    return onExecuted?.apply(this, [output]);
  };
}

app.registerExtension({
  name: "GVR.CostLine",
  setup() {
    injectStyle("gvr-cost-line", CSS);
    // After each node the machine may be calibrated, and its memory is another.
    for (const name of ["executing", "execution_success", "execution_error"]) {
      api.addEventListener(name, () => lines.forEach((watcher) => watcher.refresh()));
    }
  },
  nodeCreated(node) {
    if (node.comfyClass === NODE) addLine(node);
  },
});
