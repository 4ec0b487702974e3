/** Which step a node is in, from the server's messages. */

/**
 * Whether an id of an execution is that of a node; nodes in subgraphs have the ids of their containers before theirs.
 * @param {unknown} id such as 5 or "12:5"
 * @param {object} node
 */
function isNode(id, node) {
  if (id === null || id === undefined) return false;
  const parts = String(id).split(":");
  const root = !node.graph?.rootGraph || node.graph.rootGraph === node.graph;
  return parts.at(-1) === String(node.id) && root === (parts.length === 1);
}

/**
 * Follows the progress of nodes.
 * @param {EventTarget} api of the page
 * @param {() => Iterable<{watched: object|null, mark: (step: number|null) => void}>} plots those that are alive
 */
export function followProgress(api, plots) {
  const each = (id, step) => {
    for (const plot of plots()) if (plot.watched && isNode(id, plot.watched)) plot.mark(step);
  };
  const clear = () => {
    for (const plot of plots()) plot.mark(null);
  };
  api.addEventListener("progress", ({ detail }) => each(detail?.node, detail?.value));
  api.addEventListener("progress_state", ({ detail }) => {
    for (const [id, state] of Object.entries(detail?.nodes ?? {})) {
      // The node's own total is 1 until its sampler has said how many steps there are.
      if (state.state === "running" && state.max > 1) each(id, state.value);
      if (state.state === "finished") each(id, null);
    }
  });
  api.addEventListener("executing", ({ detail }) => {
    const id = detail !== null && typeof detail === "object" ? detail.display_node ?? detail.node : detail;
    for (const plot of plots()) plot.mark(plot.watched && isNode(id, plot.watched) ? 0 : null);
  });
  for (const name of ["execution_success", "execution_error", "execution_interrupted"]) {
    api.addEventListener(name, clear);
  }
}
