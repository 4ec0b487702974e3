"""The text of a caption file, cleaned as Wan's pipeline cleans prompts: training shall see what sampling sees."""

from __future__ import annotations

import html
import importlib.metadata
import importlib.util
import json
import logging
import re
from functools import cache
from pathlib import Path
from types import ModuleType

log = logging.getLogger("gvr")

SUFFIXES = (".txt", ".json")
"""Of caption files beside a clip, the first one that is there."""


def cleaning() -> str:
    """What cleans captions on this machine; part of the plan, because it decides bytes."""
    return "html" if _ftfy() is None else f"ftfy {importlib.metadata.version('ftfy')}"


@cache
def _ftfy() -> ModuleType | None:
    if importlib.util.find_spec("ftfy") is None:
        return None
    try:
        import ftfy
    except ImportError as error:
        log.warning("ftfy is installed but does not import (%s): captions are cleaned without it", error)
        return None
    return ftfy


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
    if (ftfy := _ftfy()) is not None:
        text = ftfy.fix_text(text)
    return re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip()
