"""What the page may ask the server, on top of ComfyUI's own routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..gvr_core.video.reading import probe
from . import host
from .cost import answer_cost
from .preview_files import answer_previews
from .sigmas import answer_sigmas


def answer_video(question: Mapping[str, Any]) -> dict[str, Any]:
    """Frames, height and width of a file of the input folder; frames are None where only decoding tells.

    Raises:
        ValueError: no such file, or not a video.
    """
    info = probe(host.input_file(str(question.get("file", ""))))
    return {"frames": info.frames, "height": info.height, "width": info.width}


def add_routes() -> None:
    """Makes them known to the server."""
    host.add_route("GET", "/gvr/sigmas", answer_sigmas)
    host.add_route("POST", "/gvr/cost", answer_cost)
    host.add_route("GET", "/gvr/video", answer_video)
    host.add_route("GET", "/gvr/previews", answer_previews)
