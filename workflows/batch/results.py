"""What a finished prompt left on the server, and how it is called here."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .jobs import distinct
from .manifest import replace


@dataclass(frozen=True)
class RemoteFile:
    """A file in one of the server's folders."""

    filename: str
    subfolder: str
    type: str


def remote_files(outputs: dict) -> list[RemoteFile]:
    """The files in `outputs` of a history entry, each once. Previews (`temp`) only where nothing was saved.

    Whatever the list is called (`images`, `gifs`, `video`, `audio`, ...), its entries have the same form.
    """
    found: dict[RemoteFile, None] = {}
    for node in outputs.values():
        for entries in node.values() if isinstance(node, dict) else ():
            for entry in entries if isinstance(entries, list) else ():
                if isinstance(entry, dict) and isinstance(entry.get("filename"), str) and entry["filename"]:
                    file = RemoteFile(entry["filename"], entry.get("subfolder") or "", entry.get("type") or "output")
                    found[file] = None
    saved = [file for file in found if file.type == "output"]
    return saved or [file for file in found if file.type == "temp"]


def local_names(base: str, key: str, files: list[RemoteFile], taken: set[str]) -> list[str]:
    """A name for each file: `base.ext`, numbered where several have the same ending, and never one that is taken.

    Of the server's name only the ending is used, and only if it is a plain one.
    """
    endings = [match[0].lower() if (match := re.search(r"\.[A-Za-z0-9]{1,10}$", f.filename)) else "" for f in files]

    def numbered(stem: str) -> list[str]:
        several, count, names = Counter(endings), Counter(), []
        for ending in endings:
            count[ending] += 1
            names.append(f"{stem}_{count[ending]}{ending}" if several[ending] > 1 else f"{stem}{ending}")
        return names

    names = numbered(base)
    if any(name.casefold() in taken for name in names):
        return numbered(distinct(base, key, {base.casefold()}))
    return names


def write_whole(path: Path, blocks: Iterable[bytes]) -> None:
    """Writes a file that appears when it is complete. Raises OSError when it cannot be written."""
    temporary = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        with temporary.open("wb") as file:
            for block in blocks:
                file.write(block)
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
