"""A folder of numbered PNG frames as the target of a writer."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path

import cv2
import numpy as np

_FRAME_NAME = re.compile(r"frame_[0-9]+\.png")


class FolderTarget:
    """Collects frames in a hidden folder and moves them to their place at the end.

    The hidden folder is a sub-folder of the target when that exists, so that moving never crosses a file system.

    Args:
        path: A folder that passes `check_folder`, or does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        parent = self._path if self._path.is_dir() else self._path.parent
        self._temporary = parent / f".{self._path.name}.{secrets.token_hex(4)}.part"
        self._count = 0

    def open(self) -> None:
        self._temporary.mkdir()

    def write(self, frame: np.ndarray) -> None:
        """Appends a frame, `h w c` uint8 RGB."""
        self._count += 1
        # Not cv2.imwrite: on Windows it cannot open names outside the system's code page.
        _, data = cv2.imencode(".png", frame[..., ::-1])
        (self._temporary / f"frame_{self._count:05d}.png").write_bytes(data.tobytes())

    def finish(self) -> None:
        """Puts the frames in place and removes the frames of an earlier, longer clip."""
        if not self._path.is_dir():
            self._temporary.rename(self._path)
            return
        written = sorted(self._temporary.iterdir())
        for file in written:
            file.replace(self._path / file.name)
        names = {file.name for file in written}
        for file in self._path.iterdir():
            if _FRAME_NAME.fullmatch(file.name) and file.name not in names:
                file.unlink()
        self._temporary.rmdir()

    def abort(self) -> None:
        """Leaves no trace; may be called at any time."""
        shutil.rmtree(self._temporary, ignore_errors=True)


def check_folder(path: Path) -> None:
    """Returns when frames may be written into the folder: it is absent, empty or holds only frame_*.png.

    Hidden files (.DS_Store) do not count.

    Raises:
        ValueError: it holds anything else, or a file has its name.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise ValueError(f"cannot write the folder {path}: a file of that name exists")
    others = [f.name for f in path.iterdir() if not f.name.startswith(".") and not _FRAME_NAME.fullmatch(f.name)]
    if others:
        raise ValueError(
            f"the folder {path} holds other things than frames, such as {min(others)}: give a new or empty folder"
        )
