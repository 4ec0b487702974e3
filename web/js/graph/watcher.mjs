/**
 * Looks at the graph a few times a second and asks the server again when what it would be asked has changed. Changes
 * come from many sides (other nodes, wires, undo, both renderers, primitives), and looking costs next to nothing.
 */

const PERIOD = 200;
const AGAIN = 5000;
const watchers = new Set();
let timer = null;

/**
 * @typedef {object} Watcher
 * @property {() => void} refresh asks again even where nothing has changed
 * @property {() => void} stop
 */

/**
 * @param {object} node
 * @param {() => unknown} collect the question, plain data
 * @param {(question: any, signal: AbortSignal) => Promise<any>} ask
 * @param {(answer: any, question: any) => void} show
 * @returns {Watcher}
 */
export function watch(node, collect, ask, show) {
  let key = null;
  let controller = null;
  let retryAt = 0;
  const look = async () => {
    if (!node.graph) return;
    const question = collect();
    const now = JSON.stringify(question);
    if (now === key && !(retryAt && performance.now() > retryAt)) return;
    key = now;
    retryAt = 0;
    controller?.abort();
    controller = new AbortController();
    const { signal } = controller;
    let answer;
    try {
      answer = await ask(question, signal);
    } catch (error) {
      if (signal.aborted) return;
      // The server is busy, away or older than this page: say so, and try again later.
      answer = { problem: "no answer from the server" };
      retryAt = performance.now() + AGAIN;
    }
    if (!signal.aborted && answer) show(answer, question);
  };
  const watcher = {
    look,
    refresh: () => {
      key = null;
    },
    stop: () => {
      controller?.abort();
      watchers.delete(watcher);
    },
  };
  watchers.add(watcher);
  timer ??= setInterval(() => {
    if (!document.hidden) watchers.forEach((each) => each.look());
  }, PERIOD);
  return watcher;
}

/**
 * Watches as long as the node is in a graph, also when it is taken out and put back.
 * @param {object} node
 * @param {() => Watcher} start
 * @returns {() => Watcher|null} the present watcher
 */
export function whileAlive(node, start) {
  let watcher = start();
  const { onAdded, onRemoved } = node;
  node.onAdded = function (...args) {
    watcher ??= start();
    return onAdded?.apply(this, args);
  };
  node.onRemoved = function (...args) {
    watcher?.stop();
    watcher = null;
    return onRemoved?.apply(this, args);
  };
  return () => watcher;
}
