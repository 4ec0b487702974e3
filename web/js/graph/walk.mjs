/**
 * Reads the graph of the page: what is connected to what, through reroutes, bypassed nodes and subgraphs. It never
 * writes and never calls a widget's own functions, so looking has no effect on the workflow.
 */

const SUBGRAPH_INPUT = -10;
const SUBGRAPH_OUTPUT = -20;
const MUTED = 2;
const BYPASSED = 4;
const DEEPEST = 100;

/**
 * An end of a wire.
 * @typedef {{node: object, slot: number}} End
 */

/**
 * @param {object} graph a graph or subgraph
 * @param {number|null|undefined} id of a link
 * @returns {object|null} with origin_id, origin_slot, target_id and target_slot
 */
function linkOf(graph, id) {
  if (id === null || id === undefined) return null;
  return graph.getLink?.(id) ?? graph.links?.get?.(id) ?? graph.links?.[id] ?? null;
}

/** All subgraph nodes below a graph. */
function* containers(graph, depth = 0) {
  if (depth > 8) return;
  for (const node of graph._nodes ?? graph.nodes ?? []) {
    if (!node.subgraph) continue;
    yield node;
    yield* containers(node.subgraph, depth + 1);
  }
}

/**
 * @param {object} graph a subgraph
 * @returns {object|null} the first node that holds it
 */
function containerOf(graph) {
  const root = graph.rootGraph ?? globalThis.app?.rootGraph ?? globalThis.app?.graph;
  for (const node of root ? containers(root) : []) if (node.subgraph === graph) return node;
  return null;
}

/** The input of the same type that a bypassed node or a reroute passes on. */
function passedInput(node, slot) {
  if (node.type === "Reroute") return 0;
  const type = node.outputs?.[slot]?.type;
  if (node.inputs?.[slot]?.type === type) return slot;
  return (node.inputs ?? []).findIndex((input) => input.type === type);
}

/** @returns {End|null} where an input of a node gets its value from */
function originOf(node, index, depth) {
  if (depth > DEEPEST || index < 0) return null;
  const link = linkOf(node.graph, node.inputs?.[index]?.link);
  return link ? outputOf(node.graph, link, depth) : null;
}

function outputOf(graph, link, depth) {
  if (Number(link.origin_id) === SUBGRAPH_INPUT) {
    const outside = containerOf(graph);
    return outside ? originOf(outside, link.origin_slot, depth + 1) : null;
  }
  const node = graph.getNodeById(link.origin_id);
  if (!node || node.mode === MUTED) return null;
  if (node.type === "Reroute" || node.mode === BYPASSED) {
    return originOf(node, passedInput(node, link.origin_slot), depth + 1);
  }
  if (node.subgraph) {
    const inner = linkOf(node.subgraph, node.subgraph.outputs?.[link.origin_slot]?.linkIds?.[0]);
    return inner ? outputOf(node.subgraph, inner, depth + 1) : null;
  }
  return { node, slot: link.origin_slot };
}

/**
 * The output that feeds an input.
 * @param {object} node
 * @param {string} name of the input
 * @returns {End|null}
 */
export function upstream(node, name) {
  const index = (node.inputs ?? []).findIndex((input) => input.name === name);
  return originOf(node, index, 0);
}

/**
 * The inputs that an output feeds; `slot` is that of the input.
 * @param {object} node
 * @param {number} slot of the output
 * @returns {End[]}
 */
export function downstream(node, slot, depth = 0) {
  if (depth > DEEPEST) return [];
  return targetsOf(node.graph, node.outputs?.[slot]?.links ?? [], depth);
}

function targetsOf(graph, ids, depth) {
  return [...ids].flatMap((id) => {
    const link = linkOf(graph, id);
    if (!link) return [];
    if (Number(link.target_id) === SUBGRAPH_OUTPUT) {
      const outside = containerOf(graph);
      return outside ? downstream(outside, link.target_slot, depth + 1) : [];
    }
    const node = graph.getNodeById(link.target_id);
    if (!node || node.mode === MUTED) return [];
    if (node.type === "Reroute") return downstream(node, 0, depth + 1);
    if (node.mode === BYPASSED) {
      const type = node.inputs[link.target_slot]?.type;
      const slot = (node.outputs ?? []).findIndex((output) => output.type === type);
      return slot < 0 ? [] : downstream(node, slot, depth + 1);
    }
    if (node.subgraph) {
      return targetsOf(node.subgraph, node.subgraph.inputs?.[link.target_slot]?.linkIds ?? [], depth + 1);
    }
    return [{ node, slot: link.target_slot }];
  });
}

/**
 * The value a widget will have when the graph runs; undefined where another node computes it.
 * @param {object} node
 * @param {string} name
 */
export function valueOf(node, name, depth = 0) {
  const index = (node.inputs ?? []).findIndex((input) => (input.widget?.name ?? input.name) === name);
  const link = index < 0 ? null : linkOf(node.graph, node.inputs[index].link);
  if (!link || depth > 8) return node.widgets?.find((widget) => widget.name === name)?.value;
  if (Number(link.origin_id) === SUBGRAPH_INPUT) {
    const outside = containerOf(node.graph);
    const input = outside?.inputs?.[link.origin_slot];
    return input ? valueOf(outside, input.widget?.name ?? input.name, depth + 1) : undefined;
  }
  const origin = originOf(node, index, 0);
  return /^Primitive/.test(origin?.node.type ?? "") ? origin.node.widgets?.[0]?.value : undefined;
}

/**
 * Several widgets of a node; undefined where one of them is not known.
 * @param {object} node
 * @param {string[]} names
 * @returns {Record<string, unknown>|undefined}
 */
export function valuesOf(node, names) {
  const values = Object.fromEntries(names.map((name) => [name, valueOf(node, name)]));
  return Object.values(values).some((value) => value === undefined) ? undefined : values;
}

/**
 * Names of a node's inputs of a type.
 * @param {object} node
 * @param {string} type
 * @returns {string[]}
 */
export function inputsOf(node, type) {
  return (node.inputs ?? []).filter((input) => input.type === type).map((input) => input.name);
}
