"""What hosts make of schemas, texts, help and blueprints; that the stand-ins of `tests/node_schemas.py` are right."""

import json
from urllib.error import HTTPError

import pytest

from ..node_schemas import node_schemas
from .comfy_server import ROOT

pytestmark = pytest.mark.live

LANGUAGES = ("en", "zh")


@pytest.fixture(scope="module")
def server(start_server):
    with start_server() as server:
        yield server


def test_schemas_are_what_the_host_says(server):
    info = {
        node: entry
        for node, entry in server.object_info().items()
        if entry["python_module"] == "custom_nodes.ComfyUI-GVR"
    }
    schemas = node_schemas()

    assert list(info) == list(schemas)
    for node, schema in schemas.items():
        entry = info[node]
        assert (entry["display_name"], entry["description"]) == (schema.display_name, schema.description)
        given = {
            name: (*spec, group)
            for group, inputs in entry["input"].items()
            if group != "hidden"
            for name, spec in inputs.items()
        }
        # Optional inputs come last there, whatever the order of the schema.
        assert sorted(given) == sorted(slot.name for slot in schema.inputs)
        for slot in schema.inputs:
            kind, options, group = given[slot.name]
            assert kind == slot.kind
            assert group == ("optional" if slot.options.get("optional") else "required")
            for key in ("tooltip", "min", "max", "default"):
                assert options.get(key) == slot.options.get(key)
        assert entry["output"] == [slot.kind for slot in schema.outputs]
        assert entry["output_name"] == [slot.name for slot in schema.outputs]
        assert (entry["output_tooltips"] or []) == [slot.tooltip for slot in schema.outputs]


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_served(server, language):
    texts = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))

    assert server.get("/i18n")[language]["nodeDefs"].items() >= texts.items()


def test_help_is_served(server):
    for path in sorted((ROOT / "web" / "docs").rglob("*")):
        if path.is_file():
            route = f"/extensions/ComfyUI-GVR/{path.relative_to(ROOT / 'web').as_posix()}"
            assert server.request(route) == path.read_bytes()


def test_blueprints_are_served_where_the_host_does(server):
    try:
        offered = server.get("/global_subgraphs")
    except HTTPError as error:
        # Before blueprints there was no such route.
        if error.code != 404:
            raise
        return
    ours = {key: entry for key, entry in offered.items() if entry["source"] == "custom_node"}
    assert [entry["name"] for entry in ours.values()] == [path.stem for path in (ROOT / "subgraphs").glob("*.json")]
    for key, entry in ours.items():
        content = server.get(f"/global_subgraphs/{key}")["data"]
        assert content == (ROOT / "subgraphs" / f"{entry['name']}.json").read_text(encoding="utf-8")
