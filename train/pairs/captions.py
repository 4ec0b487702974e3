"""The text of a caption file, cleaned as Wan's pipeline cleans prompts: training shall see what sampling sees."""

from __future__ import annotations

import html
import importlib.metadata
import importlib.util
import json
import re
from pathlib import Path

SUFFIXES = (".txt", ".json")
"""Of caption files beside a clip, the first one that is there."""


def cleaning() -> str:
    """What cleans captions on this machine; part of the plan, because it decides bytes."""
    installed = importlib.util.find_spec("ftfy") is not None
    return f"ftfy {importlib.metadata.version('ftfy')}" if installed else "html"


def read_caption(path: Path) -> str:
    """The cleaned text of a .txt, or of a .json under "caption" or "text".

    Raises:
        ValueError: damaged, or no text under these names.
        OSError: it cannot be read.
    """
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        values = json.loads(text)
        text = values.get("caption", values.get("text", "")) if isinstance(values, dict) else None
        if not isinstance(text, str):
            raise ValueError(f'{path.name} has no text under "caption"')
    return clean(text)


def clean(text: str) -> str:
    """As Wan: mended by ftfy where that is installed, entities resolved twice (captions of the web are often escaped
    twice), white space made single spaces."""
    if importlib.util.find_spec("ftfy") is not None:
        import ftfy

        text = ftfy.fix_text(text)
    return re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip()
