"""Writing single pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .whole_files import written_whole


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write `h w c` uint8 RGB as PNG, whole or not at all.

    Raises:
        ValueError: the file cannot be written.
    """
    # Not cv2.imwrite: on Windows it cannot open names outside the system's code page.
    data = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    try:
        with written_whole(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}, choose another place") from error
