"""A fresh server with empty folders: the pack loads without a word, and the built-in model runs without any file."""

import pytest

from .comfy_server import ROOT
from .graphs import measured

pytestmark = pytest.mark.live

NODES = {
    "GVRLoadCascade",
    "GVRLatentCascadeUpsample",
    "GVRReferenceTokens",
    "GVRMultiCFGGuider",
    "GVRMultiCFGSampler",
    "GVRPNDMSampler",
    "GVRDetailAwareSigmas",
    "GVRPartialSigmas",
    "GVRSampleClip",
    "GVREncodeVideo",
    "GVRDecodeVideo",
}


@pytest.fixture(scope="module")
def fresh_server(start_server):
    with start_server() as server:
        yield server


def inputs_of(schema):
    """Name -> (type, options) of every input of a node."""
    groups = schema["input"].items()
    return {name: spec for group, inputs in groups if group != "hidden" for name, spec in inputs.items()}


def test_nodes_are_there_with_a_tooltip_at_every_input(fresh_server):
    info = fresh_server.object_info()

    ours = {name: schema for name, schema in info.items() if name.startswith("GVR") and not name.startswith("GVRTest")}
    assert set(ours) >= NODES
    assert {schema["category"] for schema in ours.values()} == {"GVR"}
    bare = [
        f"{name}.{given}"
        for name, schema in ours.items()
        for given, spec in inputs_of(schema).items()
        if len(spec) < 2 or not spec[1].get("tooltip", "").strip()
    ]
    assert not bare


def test_the_bundled_model_runs_from_empty_folders(fresh_server, graph):
    assert not [path for folder in ("models", "input") for path in (fresh_server.base / folder).rglob("*.*")]
    clip = graph.add("GVRSampleClip", width=64, height=48, frames=6, seed=0)
    loaded = graph.load(weight_dtype="default")
    latent = graph.nano(graph.encode(clip, loaded[1]), loaded)
    images = graph.decode(latent, loaded[1])
    shape = graph.probe(images)
    video = graph.add("CreateVideo", images=images, fps=clip[1])
    graph.add("SaveVideo", video=video, filename_prefix="fresh", format="auto", codec="auto")

    entry = fresh_server.run(graph.prompt)

    found = measured(entry, shape)
    assert found["shape"] == [6, 96, 128, 3]
    assert 0.2 < found["mean"] < 0.8
    assert list((fresh_server.base / "output").glob("fresh*.mp4"))


def test_the_log_says_nothing_about_the_pack(fresh_server):
    lines = fresh_server.log().splitlines()

    assert "Traceback" not in fresh_server.log(), fresh_server.log_tail()
    # What ComfyUI prints of its own accord: how long each pack took to load.
    ours = [line for line in lines if "GVR" in line or str(ROOT) in line]
    assert [line for line in ours if "seconds:" not in line and "Adding extra search path" not in line] == []
    assert [line for line in ours if "seconds:" in line and "ComfyUI-GVR" in line]
