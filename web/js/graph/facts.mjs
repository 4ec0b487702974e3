/** What the graph says about a run of the cascade: checkpoint, attention, references, guidance, schedule, decoder. */

import { imageSize } from "./sizes.mjs";
import { downstream, inputsOf, upstream, valueOf, valuesOf } from "./walk.mjs";

const DEEPEST = 60;
const GUIDANCE = ["s_txt", "s_ref", "n_ref", "null_reference"];
const ATTENTION = [
  "window_height",
  "window_width",
  "top_k",
  "temporal_units",
  "start_percent",
  "end_percent",
  "dense_blocks",
  "min_tokens",
];

/**
 * What is upstream of a node's model input.
 * @param {object} node
 * @returns {{checkpoint?: string, weight_dtype?: string, attention?: object, shift?: number}}
 */
export function modelFacts(node) {
  const facts = {};
  let end = upstream(node, "model");
  for (let depth = 0; end && depth < DEEPEST; depth += 1) {
    const at = end.node;
    if (at.type === "GVRLoadCascade") {
      return { ...facts, checkpoint: valueOf(at, "checkpoint"), weight_dtype: valueOf(at, "weight_dtype") };
    }
    // The last one in front of the sampler wins.
    if (at.type === "GVRSparseAttention") facts.attention ??= valuesOf(at, ATTENTION);
    if (at.type === "ModelSamplingSD3") facts.shift ??= valueOf(at, "shift");
    const [name] = inputsOf(at, "MODEL");
    end = name ? upstream(at, name) : null;
  }
  return facts;
}

/**
 * References in front of a node's positive input.
 * @param {object} node
 * @returns {{has: "yes"|"no"|"unknown", images: number, video_frames: number}}
 */
export function referenceFacts(node) {
  const none = { has: "no", images: 0, video_frames: 0 };
  let end = upstream(node, "positive");
  if (!end) return { ...none, has: "unknown" };
  for (let depth = 0; end && depth < DEEPEST; depth += 1) {
    const at = end.node;
    if (at.type === "GVRReferenceTokens") {
      const images = (at.inputs ?? []).filter((input) => /^image_\d+$/.test(input.name) && upstream(at, input.name));
      const video = upstream(at, "video");
      const frames = video ? imageSize(video)?.frames ?? imageSize(video)?.cut ?? 77 : 0;
      return { has: "yes", images: images.length, video_frames: frames };
    }
    const names = inputsOf(at, "CONDITIONING");
    end = names.length ? upstream(at, names.includes("positive") ? "positive" : names[0]) : null;
  }
  return none;
}

/**
 * What makes the sigmas of a node with a `sigmas` input, as the server wants it.
 * @param {object} node
 * @returns {object|null} null where it is none of the known nodes
 */
export function sigmasFacts(node) {
  const maker = upstream(node, "sigmas")?.node;
  const widgets = {
    GVRPartialSigmas: ["partial", "alpha"],
    GVRDetailAwareSigmas: ["detail", "start"],
    BasicScheduler: ["basic", "denoise"],
  }[maker?.type];
  if (!widgets) return null;
  const [source, start] = widgets;
  const steps = valueOf(maker, "steps");
  const denoise = valueOf(maker, start);
  const scheduler = source === "detail" ? "simple" : valueOf(maker, "scheduler");
  if (steps === undefined || denoise === undefined || scheduler === undefined) return null;
  const { checkpoint, shift } = modelFacts(maker);
  return { source, steps, denoise, scheduler, shift: shift ?? 0, checkpoint };
}

/** @returns {string} name of the solver connected to a SamplerCustom or SamplerCustomAdvanced */
function solverOf(node) {
  const maker = upstream(node, "sampler")?.node;
  return (maker?.type === "KSamplerSelect" && valueOf(maker, "sampler_name")) || "euler";
}

/**
 * The sampler that a GUIDER goes to.
 * @param {object} node
 * @returns {object|null}
 */
export function samplerOfGuider(node) {
  const slot = (node.outputs ?? []).findIndex((output) => output.type === "GUIDER");
  return downstream(node, slot).find((end) => inputsOf(end.node, "SIGMAS").length)?.node ?? null;
}

/**
 * What the plot of a Multi-CFG node shows, as the server wants it.
 * @param {object} node a GVRMultiCFGSampler or GVRMultiCFGGuider
 * @returns {{question: object, watched: object}} and the node whose progress is marked
 */
export function scheduleFacts(node) {
  const guidance = Object.fromEntries(GUIDANCE.map((name) => [name, valueOf(node, name)]));
  const model = modelFacts(node);
  const base = { ...guidance, references: referenceFacts(node).has, checkpoint: model.checkpoint };
  if (node.type === "GVRMultiCFGSampler") {
    const widgets = valuesOf(node, ["steps", "scheduler", "sampler_name", "denoise", "shift"]);
    const shift = widgets?.shift || model.shift || 0;
    return { question: { ...base, ...(widgets ?? {}), shift, source: widgets ? "multi" : "none" }, watched: node };
  }
  const sampler = samplerOfGuider(node);
  const sigmas = sampler && sigmasFacts(sampler);
  const solver = sampler ? solverOf(sampler) : "euler";
  // The guider's checkpoint tells about text; the shift is that of the model in front of the sigmas.
  const shift = sigmas?.shift || model.shift || 0;
  return {
    question: { ...base, ...(sigmas ?? {}), shift, checkpoint: sigmas?.checkpoint ?? base.checkpoint,
      sampler_name: solver, source: sigmas?.source ?? "none" },
    watched: sampler ?? node,
  };
}

/** The first node below some outputs that `choose` turns into something, nearest first. */
function below(node, slots, choose) {
  const queue = slots.flatMap((slot) => downstream(node, slot));
  const seen = new Set([node]);
  for (let at = queue.shift(), count = 0; at && count < 200; at = queue.shift(), count += 1) {
    if (seen.has(at.node)) continue;
    seen.add(at.node);
    const found = choose(at.node);
    if (found) return found;
    const latents = (at.node.outputs ?? []).flatMap((output, slot) => (output.type === "LATENT" ? [slot] : []));
    queue.push(...latents.flatMap((slot) => downstream(at.node, slot)));
  }
  return null;
}

/** What the server wants to know of a sampler; undefined for a node that is none. */
function describeSampler(node) {
  if (node.type === "GVRMultiCFGSampler") {
    const widgets = valuesOf(node, ["steps", "sampler_name", ...GUIDANCE]);
    return widgets && { node, model: modelFacts(node), references: referenceFacts(node), ask: { kind: "multi", ...widgets } };
  }
  if (/^KSampler(Advanced)?$/.test(node.type)) {
    const widgets = valuesOf(node, ["steps", "cfg", "sampler_name"]);
    return widgets && { node, model: modelFacts(node), references: referenceFacts(node), ask: { kind: "cfg", ...widgets } };
  }
  if (!inputsOf(node, "SIGMAS").length || !inputsOf(node, "LATENT").length) return undefined;
  const steps = sigmasFacts(node)?.steps;
  if (steps === undefined) return undefined;
  const common = { steps, sampler_name: solverOf(node) };
  const guider = upstream(node, "guider")?.node;
  const holder = guider ?? node;
  const facts = { node, model: modelFacts(holder), references: referenceFacts(holder) };
  if (guider?.type === "GVRMultiCFGGuider") {
    const widgets = valuesOf(guider, GUIDANCE);
    return widgets && { ...facts, ask: { kind: "multi", ...common, ...widgets } };
  }
  return { ...facts, ask: { kind: "cfg", ...common, cfg: valueOf(holder, "cfg") ?? 1 } };
}

/** Tile size of a decoder, 0 for whole frames; undefined for a node that is none. */
function tileSize(node) {
  if (node.type === "VAEDecode") return { tile: 0 };
  if (node.type !== "GVRDecodeVideo" && node.type !== "VAEDecodeTiled") return undefined;
  const tile = valueOf(node, "tile_size");
  return tile === undefined ? undefined : { tile };
}

/**
 * What follows a Latent Cascade Upsample node.
 * @param {object} node
 * @returns {{sampler: object|null, model: object, references: object|null, tile: number|null}}
 */
export function runFacts(node) {
  const latents = (node.outputs ?? []).flatMap((output, slot) => (output.type === "LATENT" ? [slot] : []));
  const sampler = below(node, latents, describeSampler);
  const own = modelFacts(node);
  const slots = (sampler?.node.outputs ?? []).map((_, slot) => slot);
  const decoder = sampler ? below(sampler.node, slots, tileSize) : null;
  // Sparse attention may stand between this node's model and the sampler's.
  return {
    sampler: sampler?.ask ?? null,
    model: { ...own, attention: sampler ? sampler.model.attention : own.attention },
    references: sampler?.references.has === "yes" ? sampler.references : null,
    tile: decoder?.tile ?? null,
  };
}
