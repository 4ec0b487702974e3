"""The shipped graphs as files: well formed, readable, the same in both formats, with all that a user needs to know.

Whether ComfyUI takes them is tested in `tests/live/test_workflows.py`.
"""

import itertools
import json
import re
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
TITLE_BAR = 30
THUMBNAIL_LIMIT = 60_000
MODEL_FOLDERS = {
    "UNETLoader": "diffusion_models",
    "CLIPLoader": "text_encoders",
    "DualCLIPLoader": "text_encoders",
    "VAELoader": "vae",
    "GVRLoadCascade": "gvr",
}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def graph(name):
    """The UI file."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def prompt(name):
    """The API file."""
    return json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))


def is_note(node):
    return node["type"] == "MarkdownNote"


def box(node):
    """Left, top, right and bottom of a node, its title bar included."""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE_BAR, x + width, y + height


def frame(group):
    """Left, top, right and bottom of a group."""
    x, y, width, height = group["bounding"]
    return x, y, x + width, y + height


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def inside(a, b):
    return b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3]


def model_files(prompt):
    """Folder and name of every model file that a graph loads."""
    for node in prompt.values():
        if node["class_type"] in MODEL_FOLDERS:
            for value in node["inputs"].values():
                if str(value).endswith(".safetensors"):
                    yield MODEL_FOLDERS[node["class_type"]], value


def test_every_workflow_has_its_three_files():
    assert len(NAMES) == 8
    assert sorted(path.stem for path in (FOLDER / "api").glob("*.json")) == NAMES
    assert sorted(path.stem for path in FOLDER.glob("*.jpg")) == NAMES


def test_thumbnail(name):
    path = FOLDER / f"{name}.jpg"

    assert cv2.imread(str(path)).shape == (400, 640, 3)
    assert path.stat().st_size < THUMBNAIL_LIMIT


def test_links_and_slots_agree(graph):
    nodes = {node["id"]: node for node in graph["nodes"]}
    links = {link[0]: link for link in graph["links"]}

    assert graph["version"] == 0.4
    assert len(nodes) == len(graph["nodes"])
    assert len(links) == len(graph["links"])
    assert graph["last_node_id"] == max(nodes)
    assert graph["last_link_id"] == max(links)
    for key, source, output, target, slot, kind in graph["links"]:
        assert key in nodes[source]["outputs"][output]["links"]
        assert nodes[source]["outputs"][output]["type"] == kind
        assert nodes[target]["inputs"][slot]["link"] == key
        assert kind in nodes[target]["inputs"][slot]["type"].split(","), "a slot may take several types"
    listed = [key for node in nodes.values() for output in node["outputs"] for key in output["links"] or []]
    connected = [slot["link"] for node in nodes.values() for slot in node["inputs"] if slot["link"] is not None]
    assert sorted(listed) == sorted(connected) == sorted(links)


def test_both_formats_have_the_same_nodes_links_and_values(graph, prompt):
    nodes = {str(node["id"]): node for node in graph["nodes"] if not is_note(node)}
    links = {link[0]: [str(link[1]), link[2]] for link in graph["links"]}

    assert {key: node["type"] for key, node in nodes.items()} == {
        key: node["class_type"] for key, node in prompt.items()
    }
    for key, node in nodes.items():
        inputs = prompt[key]["inputs"]
        linked = {slot["name"]: links[slot["link"]] for slot in node["inputs"] if slot["link"] is not None}
        assert linked == {given: value for given, value in inputs.items() if isinstance(value, list)}
        # In this order, which is why `values` is an iterator. The UI file has more: the widgets that the frontend
        # adds, and those of inputs that are connected.
        values = iter(node["widgets_values"])
        assert all(value in values for value in inputs.values() if not isinstance(value, list))


def test_nodes_of_this_pack_exist(prompt):
    schemas = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "nodes").glob("*.py"))
    known = set(re.findall(r'node_id="(GVR\w+)"', schemas))

    used = {node["class_type"] for node in prompt.values() if node["class_type"].startswith("GVR")}

    assert used
    assert used <= known


def test_nothing_overlaps(graph):
    nodes = {f"{node['id']} {node['type']}": box(node) for node in graph["nodes"]}
    groups = {group["title"]: frame(group) for group in graph["groups"]}

    for boxes in (nodes, groups):
        assert [pair for pair in itertools.combinations(boxes, 2) if overlap(boxes[pair[0]], boxes[pair[1]])] == []
    (note,) = (box(node) for node in graph["nodes"] if is_note(node))
    assert not any(overlap(note, area) for area in groups.values())


def test_groups_hold_the_nodes_and_lead_from_left_to_right(graph):
    homes = {}
    for node in graph["nodes"]:
        if not is_note(node):
            (homes[node["id"]],) = (group for group in graph["groups"] if inside(box(node), frame(group)))

    titles = [group["title"] for group in sorted(graph["groups"], key=lambda group: group["bounding"][0])]
    assert titles[0] == "Models"
    assert titles[-1] == "Output"
    assert len({group["color"] for group in graph["groups"]}) == len(titles)
    for _, source, _, target, _, _ in graph["links"]:
        assert homes[source]["bounding"][0] <= homes[target]["bounding"][0]


def test_note_says_what_it_does_what_it_needs_and_what_to_change(graph, prompt):
    (note,) = (node["widgets_values"][0] for node in graph["nodes"] if is_note(node))
    files = set(model_files(prompt))

    assert note.startswith("## ")
    assert "### Files" in note
    assert "### What to change first" in note
    assert all(f"`models/{folder}/{file}`" in note for folder, file in files)
    assert ("No cascade for Wan has been published yet" in note) == any(folder == "gvr" for folder, _ in files)


def test_missing_files_can_be_downloaded(graph, prompt):
    """ComfyUI offers to download what a node's `models` property names."""
    offered = {
        (entry["directory"], entry["name"])
        for node in graph["nodes"]
        for entry in node["properties"].get("models", [])
        if entry["url"].startswith("https://huggingface.co/") and entry["url"].endswith(f"/{entry['name']}")
    }

    assert offered == {(folder, file) for folder, file in model_files(prompt) if folder != "gvr"}


def test_seeds_stay(graph):
    """So that a change in the cascade does not make the base video again."""
    assert not [node for node in graph["nodes"] if "randomize" in node["widgets_values"]]
