"""Nodes are found, settings and seeds land where they should."""

import json

import pytest

from workflows.batch.workflow import Slot, Workflow, parse_value


@pytest.fixture
def nodes():
    return {
        "1": {"class_type": "LoadVideo", "inputs": {"file": "x.mp4"}, "_meta": {"title": "Load v2.1"}},
        "2": {"class_type": "KSampler", "inputs": {"seed": 1, "model": ["9", 0], "mode.size": 3, "target": "720"}},
        "3": {"class_type": "RandomNoise", "inputs": {"noise_seed": 2}, "_meta": {"title": "Noise"}},
        "4": {"class_type": "KSamplerAdvanced", "inputs": {"noise_seed": ["3", 0]}, "_meta": {"title": "Twin"}},
        "5": {"class_type": "PrimitiveInt", "inputs": {"value": 7}, "_meta": {"title": "Twin"}},
    }


@pytest.fixture
def workflow(nodes):
    return Workflow(nodes, "name")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"nodes": [], "links": [], "version": 0.4}, r"in UI format.*Workflow > Export \(API\)"),
        ({"id": "x", "nodes": [{"id": 1, "type": "LoadVideo"}]}, r"in UI format"),
        ([], "is no workflow"),
        ({}, "is no workflow"),
        ({"1": {"class_type": "LoadVideo"}}, "'1' has no class_type and inputs"),
    ],
)
def test_other_files_are_refused_with_the_way_out(tmp_path, content, message):
    path = tmp_path / "w.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Workflow.load(path)


def test_a_file_that_is_missing_or_no_json(tmp_path):
    with pytest.raises(ValueError, match="cannot read the workflow"):
        Workflow.load(tmp_path / "none.json")
    (tmp_path / "w.json").write_text("{")
    with pytest.raises(ValueError, match="cannot read the workflow"):
        Workflow.load(tmp_path / "w.json")


def test_a_file_as_windows_editors_write_it(tmp_path, nodes):
    (tmp_path / "w.json").write_text(json.dumps(nodes), encoding="utf-8-sig")
    assert Workflow.load(tmp_path / "w.json").nodes == nodes


@pytest.mark.parametrize(
    ("address", "slot"),
    [
        ("2.seed", Slot("2", "seed")),
        ("KSampler.seed", Slot("2", "seed")),
        ("Noise.noise_seed", Slot("3", "noise_seed")),
        ("Load v2.1.file", Slot("1", "file")),
        ("2.mode.size", Slot("2", "mode.size")),
    ],
)
def test_a_node_has_an_id_a_title_and_a_class(workflow, address, slot):
    assert workflow.slot(address) == slot


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("Twin.value", "'Twin' means several nodes: 4, 5"),
        ("KSample.seed", "did you mean 'KSampler'"),
        ("zzz.seed", "there are: 1, 2"),
        ("2.sed", "did you mean 'seed'"),
        ("2", "expected NODE.input"),
    ],
)
def test_an_unknown_input_is_told_with_the_nearest(workflow, address, message):
    with pytest.raises(ValueError, match=message):
        workflow.slot(address)


@pytest.mark.parametrize(
    ("text", "present", "value"),
    [
        ("3", 1, 3),
        ("0.5", 1, 0.5),
        ("true", False, True),
        ('["9", 0]', 1, ["9", 0]),
        ("euler", "pndm", "euler"),
        ("1080", "720", "1080"),  # a choice
        ('"a b"', "x", "a b"),
        ("NaN", 1.0, "NaN"),
        ("", "x", ""),
    ],
)
def test_values(text, present, value):
    assert parse_value(text, present) == value


def test_a_value_may_hold_equals_signs_and_replace_a_link(workflow):
    workflow.set("1.file=a=b.mp4")
    workflow.set("4.noise_seed=5")
    assert workflow.nodes["1"]["inputs"]["file"] == "a=b.mp4"
    assert workflow.nodes["4"]["inputs"]["noise_seed"] == 5


def test_where_the_file_goes(workflow, nodes):
    assert workflow.file_slot(None) == Slot("1", "file")
    assert workflow.file_slot("5.value") == Slot("5", "value")
    nodes["6"] = {"class_type": "LoadImage", "inputs": {"image": "x.png"}}
    with pytest.raises(ValueError, match=r"1\.file \(Load v2\.1\), 6\.image \(LoadImage\); name one with --input-node"):
        workflow.file_slot(None)
    del nodes["1"], nodes["6"]
    with pytest.raises(ValueError, match="no node takes the files"):
        workflow.file_slot(None)


def test_where_the_seed_goes(workflow, nodes):
    assert workflow.seed_slots([]) == [Slot("2", "seed"), Slot("3", "noise_seed")]  # not the connected one
    assert workflow.seed_slots(["Noise"]) == [Slot("3", "noise_seed")]
    assert workflow.seed_slots(["5.value", "2"]) == [Slot("5", "value"), Slot("2", "seed")]
    with pytest.raises(ValueError, match="there is no node 'none'"):
        workflow.seed_slots(["none"])
    del nodes["2"], nodes["3"]
    with pytest.raises(ValueError, match="no node has a seed"):
        workflow.seed_slots([])


def test_the_fingerprint_sees_what_changes_the_result_and_nothing_else(workflow, nodes):
    seeds = workflow.seed_slots([])
    before = workflow.fingerprint(seeds)
    nodes["2"]["inputs"]["seed"] = 99
    nodes["3"]["_meta"]["title"] = "Another"
    assert workflow.fingerprint(seeds) == before
    assert workflow.fingerprint([]) != before
    nodes["2"]["inputs"]["target"] = "1080"
    assert workflow.fingerprint(seeds) != before


def test_filling_leaves_the_workflow_alone(workflow):
    assert workflow.filled({Slot("2", "seed"): 5})["2"]["inputs"]["seed"] == 5
    assert workflow.nodes["2"]["inputs"]["seed"] == 1


def test_titles_inside_subgraphs(workflow):
    assert [workflow.title(name) for name in ("3", "3:12", "2", "77")] == ["Noise", "Noise", "KSampler", "77"]
