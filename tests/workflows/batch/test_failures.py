"""What a server answers, in words; the answers are ComfyUI's."""

import json

import pytest

from workflows.batch.client import Refused
from workflows.batch.failures import in_words, of_history, of_refusal
from workflows.batch.workflow import Workflow

WORKFLOW = Workflow({"7": {"class_type": "KSampler", "inputs": {}, "_meta": {"title": "Sample"}}}, "name")


def refusal(content):
    return in_words(of_refusal(WORKFLOW, Refused(400, json.dumps(content).encode())))


def test_a_validation_error_names_the_node():
    entry = {"class_type": "KSampler", "errors": [{"message": "Value not in list", "details": "scheduler: 'x'"}]}
    other = {"class_type": "Save", "errors": [{"message": "Required input is missing", "details": "video"}]}
    downstream = {"class_type": "Later", "errors": []}
    content = {"error": {"message": "failed"}, "node_errors": {"7": entry, "9": other, "11": downstream}}
    first = "node 7 'Sample' (KSampler): Value not in list: scheduler: 'x'"
    assert refusal(content) == f"{first}; also node 9 '9' (Save): Required input is missing: video"


def test_a_missing_node_pack():
    error = {"message": "Cannot execute because node GVRLoadCascade does not exist.", "details": "Node ID '#3'"}
    expected = "Cannot execute because node GVRLoadCascade does not exist.: Node ID '#3'"
    assert refusal({"error": error, "node_errors": {}}) == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the server answered HTTP 400 Bad Request"),
        (b"<h1>oh</h1>", "the server answered HTTP 400 Bad Request: <h1>oh</h1>"),
        (b"[]", "the server answered HTTP 400 Bad Request: []"),
        (b'{"error": "no prompt"}', "no prompt"),
    ],
)
def test_other_answers(body, words):
    assert in_words(of_refusal(WORKFLOW, Refused(400, body))) == words


def test_long_lists_do_not_hide_the_message():
    words = refusal({"error": {"message": "Value not in list", "details": "x" * 5000}, "node_errors": {}})
    assert words.startswith("Value not in list")
    assert len(words) <= 400


def history(kind, **data):
    messages = [["execution_start", {}], [kind, {"node_id": "7", "node_type": "KSampler", **data}]]
    return {"status": {"status_str": "error", "completed": False, "messages": messages}}


def test_an_exception_is_told_in_one_line():
    error = of_history(
        WORKFLOW, history("execution_error", exception_type="OutOfMemoryError", exception_message="a\nb\n")
    )
    assert in_words(error) == "node 7 'Sample' (KSampler): OutOfMemoryError: a b"


def test_an_interrupt_is_no_exception():
    assert in_words(of_history(WORKFLOW, history("execution_interrupted"))) == "node 7 'Sample' (KSampler): interrupted"


def test_success_and_errors_without_a_message():
    assert of_history(WORKFLOW, {"status": {"status_str": "success", "messages": []}}) is None
    assert of_history(WORKFLOW, {"status": None}) is None
    assert "not which" in of_history(WORKFLOW, {"status": {"status_str": "error"}})["message"]
