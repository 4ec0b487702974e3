"""Why a job failed: the node and the message, from what a server answers."""

from __future__ import annotations

import http
import json

from .client import Refused
from .workflow import Workflow

LONGEST = 400


def about_node(workflow: Workflow, node_id: str, class_type: str | None, message: str) -> dict[str, str]:
    """An error at a node."""
    return {
        "node": node_id,
        "title": workflow.title(node_id),
        "class": class_type or "",
        "message": shortened(message),
    }


def shortened(text: str) -> str:
    """On one line, not longer than a screen: a list of all models would hide the message."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


def in_words(error: dict[str, str]) -> str:
    """`node 3 "Sampler" (KSampler): message`."""
    if "node" not in error:
        return error["message"]
    kind = f" ({error['class']})" if error["class"] and error["class"] != error["title"] else ""
    return f"node {error['node']} {error['title']!r}{kind}: {error['message']}"


def of_outputs(workflow: Workflow, node_errors: dict) -> list[dict[str, str]]:
    """Errors of the server's validation, one for each node that has any."""
    found = []
    for node_id, entry in node_errors.items():
        messages = [
            ": ".join(filter(None, (error.get("message"), error.get("details")))) for error in entry.get("errors", [])
        ]
        if messages:
            found.append(about_node(workflow, node_id, entry.get("class_type"), "; ".join(messages)))
    return found


def of_refusal(workflow: Workflow, refused: Refused) -> dict[str, str]:
    """Why the server did not take the file or the prompt: the first node, with the others in its message."""
    if refused.status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return {"message": "the file is too large for the server: start that with a larger --max-upload-size (in MB)"}
    try:
        answer = json.loads(refused.body)
        errors = of_outputs(workflow, answer.get("node_errors") or {})
        general = answer.get("error") or {}
        if isinstance(general, str):
            general = {"message": general}
    except (ValueError, AttributeError):
        text = shortened(refused.body.decode("utf-8", "replace"))
        return {"message": f"the server answered {refused}{f': {text}' if text else ''}"}
    if errors:
        first, *others = errors
        return {**first, "message": "; also ".join([first["message"], *map(in_words, others)])}
    message = ": ".join(filter(None, (general.get("message"), general.get("details"))))
    return {"message": shortened(message) or f"the server answered {refused}"}


def of_history(workflow: Workflow, entry: dict) -> dict[str, str] | None:
    """Why an ended prompt failed, None when it did not."""
    status = entry.get("status") or {}
    for kind, data in status.get("messages", []):
        if kind == "execution_error":
            message = f"{data.get('exception_type', 'error')}: {data.get('exception_message', '')}"
            return about_node(workflow, str(data.get("node_id")), data.get("node_type"), message)
        if kind == "execution_interrupted":
            return about_node(workflow, str(data.get("node_id")), data.get("node_type"), "interrupted")
    if status.get("status_str") == "error":
        return {"message": "the server reports an error, but not which"}
    return None
