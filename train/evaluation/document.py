"""A table as JSON: figures, why some are missing, what they mean, and what they were made with."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import platform
from pathlib import Path
from typing import Any

from gvr_core.whole_files import written_whole

from .metric import Figures, Missing
from .table import Table

SCHEMA, SCHEMA_VERSION = "gvr-evaluation", 1
PACKAGES = ("torch", "numpy", "opencv-python", "opencv-python-headless", "av", "pyiqa", "torchvision", "transformers")
INFINITE = "infinite: every pixel equals the original's"


def make_document(table: Table, settings: dict[str, Any]) -> dict[str, Any]:
    """The document: schema, settings, versions, metrics, rows, reasons.

    `rows[row]["clips"][clip][metric]` and `rows[row]["mean"][metric]` are numbers or null; `reasons` has the same
    shape and a text for every null. An infinite PSNR is a null too, for JSON knows no infinity.
    """
    rows: dict[str, Any] = {}
    reasons: dict[str, Any] = {}
    for row, clips in table.rows.items():
        parts = {clip: _split(figures) for clip, figures in clips.items()}
        mean, why = _split(table.mean(row))
        rows[row] = {"clips": {clip: numbers for clip, (numbers, _) in parts.items()}, "mean": mean}
        reasons[row] = {"clips": {clip: texts for clip, (_, texts) in parts.items()}, "mean": why}
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "settings": settings,
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "metrics": [{"name": c.name, "title": c.title, "better": c.better, "about": c.about} for c in table.columns],
        "rows": rows,
        "reasons": reasons,
    }


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write it, whole or not at all.

    Raises:
        ValueError: the file cannot be written.
    """
    text = json.dumps(document, indent=1, allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}, choose another place") from error


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()


def _split(figures: Figures) -> tuple[dict[str, float | None], dict[str, str]]:
    """Numbers or None, and the reasons of those that are None."""
    numbers: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, figure in figures.items():
        if isinstance(figure, Missing):
            reasons[name] = figure.reason
        elif math.isinf(figure):
            reasons[name] = INFINITE
        numbers[name] = None if name in reasons else figure
    return numbers, reasons


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
