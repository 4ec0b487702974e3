"""Where results go: looked at before any work, and never one of the inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path


def check_file(path: Path) -> None:
    """Raises ValueError when no file can be written at `path`."""
    if path.is_dir():
        raise ValueError(f"cannot write {path}: a folder of that name exists")
    try:
        # A real file tells more than access rights do, as for videos.
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        raise ValueError(f"cannot write {path} into its folder: {error.strerror}, choose another place") from error


def keep_inputs(targets: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Raises ValueError when a target is one of the inputs, or a folder that one of them lies in."""
    given = [path for path in inputs if path is not None and path.exists()]
    for target in targets:
        if target is None or not target.exists():
            continue
        for path in given:
            if target.samefile(path) or (target.is_dir() and target.resolve() in path.resolve().parents):
                raise ValueError(f"{target} would replace the input {path}: choose another output name")
