"""The files a batch is made of: from names, folders and patterns, which Windows shells do not expand."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path

SUFFIXES = {
    "LoadVideo": {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".gif"},
    "LoadImage": {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"},
    "LoadLatent": {".latent"},
}
SUFFIXES["VHS_LoadVideo"] = SUFFIXES["LoadVideo"]


def find_files(patterns: list[str], class_type: str) -> list[Path]:
    """Files in the order given, each once. Of a folder those that a node of this class can load, all for other classes.

    Raises:
        ValueError: when a pattern or a folder gives no file.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_dir():
            suffixes = SUFFIXES.get(class_type)
            files = [
                file
                for file in sorted(path.iterdir())
                if file.is_file()
                and not file.name.startswith(".")
                and (suffixes is None or file.suffix.lower() in suffixes)
            ]
        elif path.is_file():
            files = [path]
        else:
            names = glob.glob(str(path), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            files = [file for file in map(Path, sorted(names)) if file.is_file()]
        if not files:
            wanted = f" for {class_type} ({', '.join(sorted(SUFFIXES[class_type]))})" if class_type in SUFFIXES else ""
            raise ValueError(f"--inputs {pattern!r} gives no file{wanted if path.is_dir() else ''}")
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises ValueError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()
