"""The subgraph blueprint in the front ends that know subgraphs: it loads, and what is queued is the graph inside it."""

import json

import pytest

from ..comfy_server import ROOT

pytestmark = pytest.mark.live

FILE = ROOT / "subgraphs" / "480p latent to 1080p (GVR).json"
FIRST = (1, 42)
CONNECT = """async (document) => {
    await app.loadGraphData(document, true, true);
    const [node] = app.graph._nodes;
    const add = (kind) => { const made = LiteGraph.createNode(kind); app.graph.add(made); return made; };
    const wire = (source, output, name) =>
        source.connect(output, node, node.inputs.findIndex((input) => input.name === name));
    const cascade = add("GVRLoadCascade"), text = add("CLIPTextEncode");
    wire(add("EmptyHunyuanLatentVideo"), 0, "samples");
    wire(cascade, 0, "model");
    wire(cascade, 1, "vae");
    wire(text, 0, "positive");
    wire(text, 0, "negative");
    node.connect(1, add("PreviewImage"), 0);
    for (const [name, value] of [["noise_aug", 0.4], ["steps", 20]]) {
        node.widgets.find((widget) => widget.name === name).value = value;
    }
    return node.widgets.map((widget) => widget.name);
}"""


def test_what_is_queued_is_the_graph_inside(comfy):
    if comfy.stage.frontend.order < FIRST:
        pytest.skip("this front end has no blueprints")
    document = json.loads(FILE.read_text(encoding="utf-8"))

    widgets = comfy.page.evaluate(CONNECT, document)
    comfy.settle()
    prompt = comfy.prompt()

    assert widgets == ["target", "noise_aug", "seed", "steps", "s_txt", "tile_size"]
    nodes = {node["class_type"]: (key, node["inputs"]) for key, node in prompt.items()}
    upsample, sampler, decode = (
        nodes[kind] for kind in ("GVRLatentCascadeUpsample", "GVRMultiCFGSampler", "GVRDecodeVideo")
    )
    assert (upsample[1]["target"], upsample[1]["noise_aug"]) == ("1080", 0.4)
    assert (sampler[1]["steps"], sampler[1]["sampler_name"], sampler[1]["s_txt"]) == (20, "pndm", 3)
    assert sampler[1]["model"] == upsample[1]["model"] == [nodes["GVRLoadCascade"][0], 0]
    assert [sampler[1][name] for name in ("positive", "negative", "latent_image")] == [
        [upsample[0], n] for n in range(3)
    ]
    assert decode[1]["samples"] == [sampler[0], 0]
    assert nodes["PreviewImage"][1]["images"] == [decode[0], 0]


def test_it_is_in_the_node_library(comfy):
    if comfy.stage.frontend.order < FIRST:
        pytest.skip("this front end has no blueprints")
    offered = comfy.page.evaluate("async () => (await (await app.api.fetchApi('/global_subgraphs')).json())")

    assert FILE.stem in {entry["name"] for entry in offered.values()}
