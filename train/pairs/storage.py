"""Files that are there whole or not at all, also after a power cut; and what is told when the disk says no.

Jobs of a cluster write into one folder without knowing of each other. Each has hidden names of its own, and whoever
comes last gives a file its name: rivals write the same bytes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HOURS_ALIVE = 24
"""A hidden file that nobody has touched for so long has no writer any more, on whatever machine that was."""
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EINVAL}


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

    Several processes may do so at once, the last one stays. One process writes a path once at a time.

    Raises:
        StorageError: the file cannot be written; nothing is left behind.
    """
    with _part(path) as temporary:
        yield temporary  # outside of storage_errors: the block may fail to read, which is another matter
        with storage_errors(path):
            _sync(temporary)
            temporary.replace(path)
            _sync_folder(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Writes a whole file, see `written_durably`."""
    with written_durably(path) as temporary, storage_errors(path):
        temporary.write_bytes(data)


def create_durably(path: Path, data: bytes) -> None:
    """Writes a whole file unless one of that name is there, by whomever and since whenever: that one stays.

    Raises:
        StorageError: the file cannot be written; nothing is left behind.
    """
    with _part(path) as temporary, storage_errors(path):
        temporary.write_bytes(data)
        _sync(temporary)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            temporary.replace(path)  # this disk has no links: the last of several writers stays, and can be read
        _sync_folder(path.parent)


@contextmanager
def _part(path: Path) -> Iterator[Path]:
    """This process's hidden name beside `path`, gone after the block."""
    temporary = path.with_name(f".{path.name}.{_machine()}-{os.getpid()}.part")
    with storage_errors(path):
        remove_orphans(path)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def remove_orphans(path: Path) -> None:
    """Delete what killed processes left half written beside `path`, and nothing that may still be written."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        if _is_orphan(part):
            with suppress(PermissionError):  # of another user, and no harm
                part.unlink(missing_ok=True)


def _is_orphan(part: Path) -> bool:
    """Whether nobody writes this hidden file any more. Of another machine's only the age is known."""
    machine, _, process = part.name.split(".")[-2].partition("-")
    if machine == _machine() and process.isdecimal():
        if int(process) == os.getpid():  # of a process before this one, in a container: they all begin at 1
            return True
        if os.name == "posix":  # elsewhere signal 0 would end it
            try:
                os.kill(int(process), 0)
            except ProcessLookupError:
                return True
            except OSError:  # somebody else's process, so there is one
                pass
    with suppress(FileNotFoundError):  # its writer has just finished
        return time.time() - part.stat().st_mtime > 3600 * HOURS_ALIVE
    return False


def _machine() -> str:
    """Eight digits for where process numbers mean the same: a host name, or a container that shares it with others."""
    numbers = Path("/proc/self/ns/pid")
    space = str(numbers.stat().st_ino) if numbers.exists() else ""
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def _sync(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """The new name reaches the disk too; Windows has no such call and does it by itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
