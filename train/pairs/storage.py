"""Files that are there whole or not at all, also after a power cut; and what is told when the disk says no."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StorageError(ValueError):
    """The output cannot be written; the message says where and what to do."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns the system's refusal to write `path` into a `StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}. What was finished before is kept: make room or choose "
            "another output, then give the same command again"
        ) from error


@contextmanager
def written_durably(path: Path) -> Iterator[Path]:
    """A hidden place beside `path`; what is there reaches the disk, then replaces `path` if the block ends well.

    A process that was killed leaves its hidden file behind; the next one that writes the same `path` removes it. Were
    the first still alive, it would then fail to rename and change nothing.

    Raises:
        StorageError: the file cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with storage_errors(path):
        for stale in path.parent.glob(f".{path.name}.*.part"):
            stale.unlink(missing_ok=True)
    try:
        yield temporary  # outside of storage_errors: the block may fail to read, which is another matter
        with storage_errors(path):
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_durably(path: Path, data: bytes) -> None:
    """Writes a whole file, see `written_durably`."""
    with written_durably(path) as temporary, storage_errors(path):
        temporary.write_bytes(data)


def _sync_folder(folder: Path) -> None:
    """The new name reaches the disk too; Windows has no such call and does it by itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
