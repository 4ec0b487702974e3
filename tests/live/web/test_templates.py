"""The shipped workflows in the front end: each opens without a missing node, and what it queues is its API file."""

import json

import cv2
import pytest

from ..test_workflows import CLIP, FILES, FOLDER, NAMES, PICTURES, TEXT_LOADERS, moving_square, read_prompt, write_clip

pytestmark = pytest.mark.live

MISSING = """() => app.graph._nodes
    .filter((node) => !LiteGraph.registered_node_types[node.type] || node.has_errors)
    .map((node) => node.type)"""


def inputs_by_node(prompt):
    """Class and inputs of every node; titles are for people, and old front ends send their players along."""
    return {
        key: (node["class_type"], {name: value for name, value in node["inputs"].items() if name != "video-preview"})
        for key, node in prompt.items()
    }


@pytest.fixture(scope="session")
def stocked_server(web_server, tmp_path_factory):
    """The files that the workflows name: the page shows pictures and clips, and of models knows the names."""
    texts = {
        value: ("text_encoders", None)
        for name in NAMES
        for node in read_prompt(name).values()
        for key, value in node["inputs"].items()
        if node["class_type"] in TEXT_LOADERS and key.startswith("clip_name")
    }
    for name, (kind, _) in {**FILES, **texts}.items():
        path = web_server.base / "models" / kind / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    folder = tmp_path_factory.mktemp("templates")
    for name, (width, height) in PICTURES.items():
        cv2.imwrite(str(folder / name), moving_square(1, height, width)[0])
        web_server.upload(folder / name)
    for name in ("reference_video.mp4", "video.mp4"):
        write_clip(folder / name, **CLIP)
        web_server.upload(folder / name)


@pytest.mark.usefixtures("stocked_server")
@pytest.mark.parametrize("name", NAMES)
def test_template_opens_and_queues_its_api_file(comfy, name):
    comfy.page.evaluate("app.refreshComboInNodes()")
    comfy.load(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))
    comfy.settle()

    assert comfy.page.evaluate(MISSING) == []
    assert inputs_by_node(comfy.prompt()) == inputs_by_node(read_prompt(name))
