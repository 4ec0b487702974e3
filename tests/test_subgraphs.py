"""The subgraph blueprints as files: their nodes, inputs and values are those of the schemas, and their links agree.

Whether the front end takes them is tested in `tests/live/web/test_blueprint.py`.
"""

import json
from pathlib import Path

import pytest

from .node_schemas import node_schemas

FOLDER = Path(__file__).resolve().parents[1] / "subgraphs"
FILES = sorted(FOLDER.glob("*.json"))
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
INPUT_NODE, OUTPUT_NODE = -10, -20


@pytest.fixture(params=FILES, ids=[path.stem for path in FILES])
def blueprint(request):
    """The only node of the file, and the graph inside it."""
    document = json.loads(request.param.read_text(encoding="utf-8"))
    (node,), (graph,) = document["nodes"], document["definitions"]["subgraphs"]
    assert node["type"] == graph["id"]
    assert graph["name"] == node["title"] == request.param.stem
    return node, graph


def widgets_of(schema):
    """Names of a node's widgets in the order of `widgets_values`."""
    for slot in schema.inputs:
        if slot.kind in WIDGETS:
            yield slot.name
            if slot.options.get("control_after_generate"):
                yield "control_after_generate"


def test_there_is_one():
    assert [path.stem for path in FILES] == ["480p latent to 1080p (GVR)"]


def test_nodes_inside_are_those_of_the_schemas(blueprint):
    _, graph = blueprint
    for node in graph["nodes"]:
        schema = node_schemas()[node["type"]]
        slots = {slot.name: slot for slot in schema.inputs}
        assert [output["type"] for output in node["outputs"]] == [slot.kind for slot in schema.outputs]
        sockets = [entry["name"] for entry in node["inputs"] if "widget" not in entry]
        assert sockets == [slot.name for slot in schema.inputs if slot.kind not in WIDGETS]
        assert all(slots[entry["name"]].kind == entry["type"] for entry in node["inputs"])
        values = dict(zip(widgets_of(schema), node["widgets_values"], strict=True))
        assert values.pop("control_after_generate", "fixed") == "fixed"
        for name, value in values.items():
            options = slots[name].options
            if slots[name].kind in ("INT", "FLOAT"):
                assert options["min"] <= value <= options["max"]
            elif options.get("options") and name not in ("scheduler", "sampler_name"):  # lists of the host
                assert value in options["options"]


def test_links_agree(blueprint):
    outer, graph = blueprint
    nodes = {node["id"]: node for node in graph["nodes"]}
    for link in graph["links"]:
        source, target = link["origin_id"], link["target_id"]
        if source == INPUT_NODE:
            entry = graph["inputs"][link["origin_slot"]]
            assert link["id"] in entry["linkIds"]
        else:
            entry = nodes[source]["outputs"][link["origin_slot"]]
            assert link["id"] in entry["links"] or target == OUTPUT_NODE
        assert entry["type"] == link["type"]
        if target == OUTPUT_NODE:
            assert link["id"] in graph["outputs"][link["target_slot"]]["linkIds"]
        else:
            assert nodes[target]["inputs"][link["target_slot"]]["link"] == link["id"]
            assert nodes[target]["inputs"][link["target_slot"]]["type"] == link["type"]
    listed = [key for entry in graph["inputs"] + graph["outputs"] for key in entry["linkIds"]]
    assert len(set(listed)) == len(listed)
    assert [(entry["name"], entry["type"]) for entry in outer["inputs"]] == [
        (entry["name"], entry["type"]) for entry in graph["inputs"]
    ]
    assert [entry["type"] for entry in outer["outputs"]] == [entry["type"] for entry in graph["outputs"]]


def test_values_outside_and_inside_are_the_same(blueprint):
    """Old front ends show the inner ones, new ones the outer ones."""
    outer, graph = blueprint
    exposed = [entry["name"] for entry in outer["inputs"] if "widget" in entry]
    shown = dict(zip(exposed, outer["widgets_values"], strict=True))
    nodes = {node["id"]: node for node in graph["nodes"]}
    for link in graph["links"]:
        name = graph["inputs"][link["origin_slot"]]["name"] if link["origin_id"] == INPUT_NODE else None
        if name in shown:
            node = nodes[link["target_id"]]
            inside = dict(zip(widgets_of(node_schemas()[node["type"]]), node["widgets_values"], strict=True))
            assert inside[node["inputs"][link["target_slot"]]["name"]] == shown.pop(name)
    assert not shown
