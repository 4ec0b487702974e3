// Nodes 2.0 puts a DOM widget's element on the page once for each node id. When undo, or another workflow, puts a new
// node in the place of one with the same id, the element of the old one stays, and the new node looks dead. Seen with
// front end 1.58.1, for the widgets of any pack.

/** Elements whose node has left the graph, and the names of their widgets. */
const left = new WeakMap();
const TRIES = [0, 30, 100, 300, 1000, 3000]; // milliseconds after a node has come: the page is built bit by bit

/**
 * Puts a DOM widget's element where a dead one of the same widget is shown.
 * @param {object} node
 * @param {string} name of the widget
 * @param {HTMLElement} element
 */
export function keepMounted(node, name, element) {
  const look = () => {
    if (!node.graph || element.isConnected) return;
    const parts = document.querySelectorAll(`[data-node-id="${CSS.escape(String(node.id))}"] *`);
    [...parts].find((part) => left.get(part) === name)?.replaceWith(element);
  };
  const lookAgain = () => {
    left.delete(element);
    TRIES.forEach((wait) => setTimeout(look, wait));
  };
  after(node, "onRemoved", () => left.set(element, name));
  after(node, "onAdded", lookAgain);
  after(node, "onConfigure", lookAgain);
}

/**
 * Calls `action` whenever the owner's own method has run.
 * @param {object} owner
 * @param {string} name of the method, which need not be there yet
 * @param {(...given: any[]) => void} action
 */
export function after(owner, name, action) {
  const original = owner[name];
  owner[name] = function (...given) {
    const answer = original?.apply(this, given);
    action(...given);
    return answer;
  };
}
