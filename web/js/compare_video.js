// The player of Compare Videos: connects it with the node, its widgets and the workflow.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { mountPlayer } from "./compare_video/player.mjs";
import { after, keepMounted } from "./graph/mounting.mjs";

const NODE = "GVRCompareVideo";
const WIDGET = "gvr_compare_video";
const RESULT_KEY = "gvr_compare";
// Properties of the node, which is where the workflow keeps them. Not widget values: those would be inputs, and every
// look from another side a reason to compute again.
const VIEW = "gvr_compare_view";
const RESULT = "gvr_compare_result";
const FIRST_SIZE = [480, 540];
const LEAST_HEIGHT = 240;

app.registerExtension({
    name: "gvr.compareVideo",

    nodeCreated(node) {
        if (node.comfyClass === NODE) addPlayer(node);
    },
});

/** @param {object} node A node that was just made; its properties come later if it is from a workflow. */
function addPlayer(node) {
    const element = document.createElement("div");
    const options = { serialize: false, hideOnZoom: false, getMinHeight: () => LEAST_HEIGHT };
    const widget = node.addDOMWidget(WIDGET, "GVR_COMPARE_VIDEO", element, options);
    widget.serialize = false;
    node.setSize([Math.max(node.size[0], FIRST_SIZE[0]), Math.max(node.size[1], FIRST_SIZE[1])]);

    let player = null;
    let shown = null;
    const mount = () => {
        player ??= mountPlayer(element, {
            view: node.properties?.[VIEW],
            labels: labelsOf(node),
            onView: (view) => { node.properties[VIEW] = view; },
            onWheel: turnCanvas,
        });
    };
    const show = async () => {
        const result = node.properties?.[RESULT] ?? null;
        const name = result?.a?.filename ?? null;
        if (!player || name === shown) return;
        shown = name;
        const isThere = result !== null && await filesAreThere(result);
        if (!player || name !== shown) return;
        player.load(isThere ? { ...result, a: withUrl(result.a), b: withUrl(result.b) } : null, result !== null);
    };
    mount();

    after(node, "onExecuted", (output) => {
        const result = output?.[RESULT_KEY]?.[0];
        if (!result) return;
        node.properties[RESULT] = result;
        player?.setLabels(result.labels);
        show();
    });
    after(node, "onConfigure", () => {
        player?.setView(node.properties?.[VIEW]);
        player?.setLabels(labelsOf(node));
        show();
    });
    after(node, "onRemoved", () => {
        player?.destroy();
        player = shown = null;
    });
    // Some operations on the graph take a node out and put the same one back.
    after(node, "onAdded", () => {
        mount();
        show();
    });
    keepMounted(node, WIDGET, element);
    for (const name of ["label_a", "label_b"]) {
        const label = node.widgets?.find((one) => one.name === name);
        if (label) after(label, "callback", () => player?.setLabels(labelsOf(node)));
    }
}

function labelsOf(node) {
    const values = ["label_a", "label_b"].map((name) => node.widgets?.find((one) => one.name === name)?.value);
    return values.map((value, index) => (typeof value === "string" && value.trim()) || "ab"[index]);
}

function withUrl(clip) {
    const query = new URLSearchParams({ filename: clip.filename, subfolder: clip.subfolder, type: clip.type });
    return { ...clip, url: api.apiURL(`/view?${query}`) };
}

/** Asked, not tried: a file that is missing would stand in the console as an error. */
async function filesAreThere(result) {
    const query = new URLSearchParams({ a: result.a?.filename ?? "", b: result.b?.filename ?? "" });
    const answer = await api.fetchApi(`/gvr/previews?${query}`);
    return answer.ok && (await answer.json()).there === true;
}

/** The graph's zoom, for turns of the wheel that a player leaves to it. Nodes 2.0 sees to that itself. */
function turnCanvas(event) {
    if (!event.target.closest?.("[data-node-id]")) app.canvas.processMouseWheel(event);
}
