/** The schedule on the Multi-CFG nodes, before and while it runs. */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { addDisplay, injectStyle } from "./graph/dom_widget.mjs";
import { scheduleFacts } from "./graph/facts.mjs";
import { watch, whileAlive } from "./graph/watcher.mjs";
import { mountPlot } from "./schedule_plot/plot.mjs";
import { followProgress } from "./schedule_plot/progress.mjs";
import { CSS } from "./schedule_plot/style.mjs";

const NODES = new Set(["GVRMultiCFGSampler", "GVRMultiCFGGuider"]);
const WIDGET = "gvr_schedule";
const LEAST = 118;
const plots = new Set();

async function ask(question, signal) {
  const query = new URLSearchParams(Object.entries(question).filter(([, value]) => value !== undefined));
  const answer = await api.fetchApi(`/gvr/sigmas?${query}`, { signal });
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  return answer.json();
}

function toSchedule(answer, question) {
  const acts = answer.has_references && Number(question.s_ref) > 0;
  return {
    sigmas: null,
    steps: null,
    stretches: [],
    evaluations: 0,
    shift: 0,
    shift_source: "",
    assumed: [],
    ...answer,
    open: question.source === "none" && !answer.problem,
    n_ref: acts ? Number(question.n_ref) : 0,
    problem: answer.problem ?? null,
  };
}

function addPlot(node) {
  const { content } = addDisplay(node, WIDGET, LEAST);
  const plot = { watched: null, ...mountPlot(content) };
  const show = (answer, question) => plot.render(toSchedule(answer, question));
  const collect = () => {
    const { question, watched } = scheduleFacts(node);
    plot.watched = watched;
    return question;
  };
  whileAlive(node, () => {
    plots.add(plot);
    const watcher = watch(node, collect, ask, show);
    return { ...watcher, stop: () => (plots.delete(plot), watcher.stop()) };
  });
}

app.registerExtension({
  name: "GVR.SchedulePlot",
  setup() {
    injectStyle("gvr-schedule-plot", CSS);
    followProgress(api, () => plots);
  },
  nodeCreated(node) {
    if (NODES.has(node.comfyClass)) addPlot(node);
  },
});
