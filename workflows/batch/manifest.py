"""`manifest.json` in the output folder: what became of every job, so that a stopped batch goes on where it was."""

from __future__ import annotations

import json
import os
import secrets
import time
import uuid
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import IO

from .jobs import DONE, FAILED, QUEUED, RUNNING, Job, distinct

VERSION = 1
REMEMBERED = [entry.name for entry in fields(Job) if entry.name not in ("key", "file", "file_hash", "seed", "refusals")]


class Manifest:
    """Records by job key; those of other settings and inputs are kept. `client_id` names us to the servers."""

    def __init__(self, folder: Path) -> None:
        """Raises ValueError when the folder cannot be used, another batch works in it, or the manifest is broken."""
        self.folder, self.path = folder, folder / "manifest.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(folder / "manifest.lock")
            content = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        except BlockingIOError as error:
            raise ValueError(f"another batch works in {folder}: wait for it, or choose another --output") from error
        except OSError as error:
            raise ValueError(f"cannot use the folder {folder}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"{self.path} is broken ({error}): move it away to start afresh") from error
        if not isinstance(content, dict) or content.get("version", VERSION) != VERSION:
            raise ValueError(f"{self.path} is not one of ours: move it away, or choose another --output")
        self.client_id: str = content.get("client_id") or str(uuid.uuid4())
        self.records: dict[str, dict] = content.get("jobs", {})

    def restore(self, jobs: list[Job], *, retry_failed: bool) -> None:
        """Puts what is known into the jobs. Those done whose files are gone are looked for on their server again."""
        names = {record["name"].casefold() for record in self.records.values()}
        for job in jobs:
            if (record := self.records.get(job.key)) is None:
                job.name = distinct(job.name, job.key, names)
            else:
                for name in REMEMBERED:
                    setattr(job, name, record[name])
                job.attempts = job.losses = 0
            if job.state == DONE and not all((self.folder / name).is_file() for name in job.outputs):
                job.state, job.started_at = QUEUED, None
            if job.state == FAILED and retry_failed:
                job.restart()
                job.error = None
            if job.state not in (QUEUED, RUNNING, DONE, FAILED):
                job.restart()

    def save(self, *jobs: Job) -> None:
        """Writes the file whole: a stop in the middle leaves the old one."""
        for job in jobs:
            self.records[job.key] = {
                "file": None if job.file is None else str(job.file),
                "file_hash": job.file_hash,
                "seed": job.seed,
                **{name: getattr(job, name) for name in REMEMBERED},
            }
        content = {"version": VERSION, "client_id": self.client_id, "jobs": self.records}
        temporary = self.path.with_name(f".manifest.{secrets.token_hex(4)}.part")
        try:
            text = json.dumps(content, indent=1, ensure_ascii=False)
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of files may be any bytes
            replace(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)

    def close(self) -> None:
        """Lets another batch work in the folder."""
        if self._lock is not None:
            self._lock.close()

    def foreign_outputs(self, job: Job) -> set[str]:
        """Case-folded names of files that belong to other jobs."""
        return {name.casefold() for key, record in self.records.items() if key != job.key for name in record["outputs"]}


def replace(source: Path, target: Path) -> None:
    """Renames over `target`. On Windows that fails while somebody reads it (a virus scanner): a second of patience."""
    for _ in range(20):
        with suppress(PermissionError):
            source.replace(target)
            return
        time.sleep(0.05)
    source.replace(target)


def lock(path: Path) -> IO | None:
    """An open file that no other process can lock until it is closed; None where the file system knows no locks.

    Raises:
        BlockingIOError: when another process has it.
    """
    file = path.open("a")
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise BlockingIOError from error
    except OSError:  # some network shares
        file.close()
        return None
    return file
