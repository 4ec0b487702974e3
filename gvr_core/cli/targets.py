"""Where results go: looked at before any work, never one of the inputs, written whole or not at all."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np


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


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write `h w c` uint8 RGB as PNG.

    Raises:
        ValueError: the file cannot be written.
    """
    # Not cv2.imwrite: on Windows it cannot open names outside the system's code page.
    data = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}, choose another place") from error
    finally:
        partial.unlink(missing_ok=True)
