"""Jobs: one input file and one seed each, and the plan of all of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .workflow import Slot, Workflow

WAITING, QUEUED, RUNNING, DONE, FAILED = "waiting", "queued", "running", "done", "failed"
SETTLED = (DONE, FAILED)
LONGEST_STEM = 180  # bytes


@dataclass(kw_only=True)
class Job:
    """What is to be computed, and how far it is. Times are ISO 8601 in UTC."""

    # what
    key: str
    name: str
    file: Path | None
    file_hash: str | None
    seed: int | None
    # where and how far
    state: str = WAITING
    server: str | None = None
    prompt_id: str | None = None
    outputs: list[str] = field(default_factory=list)  # names in the output folder
    warning: str | None = None
    error: dict[str, str] | None = None  # `message` and, where known, `node`, `title` and `class`
    attempts: int = 0  # times it was queued
    losses: int = 0  # times a server was lost while running it
    queued_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    # not remembered
    refusals: dict[str, dict[str, str]] = field(default_factory=dict)  # server -> why it does not accept the job

    def restart(self) -> None:
        """Back to the beginning."""
        self.state, self.server, self.prompt_id = WAITING, None, None
        self.queued_at = self.started_at = self.finished_at = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The workflow with its settings in, where file and seed go, and the jobs in the order they are queued.

    Jobs of one file follow each other, so that a server can reuse what it has loaded and encoded.
    """

    workflow: Workflow
    file_slot: Slot | None
    seed_slots: list[Slot]
    jobs: list[Job]
    duplicates: list[tuple[Path, Path]]  # a file and the one of the same content that stands for it

    def prompt(self, job: Job, uploaded: str | None) -> dict[str, dict]:
        """What is posted for a job, whose file has this name on the server."""
        values: dict[Slot, Any] = {}
        if job.file is not None:
            values[self.file_slot] = uploaded
        if job.seed is not None:
            values |= dict.fromkeys(self.seed_slots, job.seed)
        return self.workflow.filled(values)


def make_plan(
    workflow: Workflow,
    files: list[Path],
    file_slot: Slot | None,
    seeds: list[int],
    seed_slots: list[Slot],
    hash_file: Callable[[Path], str],
) -> Plan:
    """All jobs of files x seeds, of which either may be empty."""
    fingerprint = workflow.fingerprint([*([file_slot] if files else []), *(seed_slots if seeds else [])])
    hashes = {file: hash_file(file) for file in files}
    first = {file_hash: file for file, file_hash in reversed(hashes.items())}
    duplicates = [(file, first[file_hash]) for file, file_hash in hashes.items() if first[file_hash] != file]

    jobs, names = [], set()
    for file, file_hash in {first[file_hash]: file_hash for file_hash in hashes.values()}.items() or [(None, None)]:
        for seed in dict.fromkeys(seeds) or [None]:
            key = hashlib.sha256(json.dumps([fingerprint, file_hash, seed]).encode()).hexdigest()[:32]
            stem = shortened(workflow.name if file is None else file.stem)
            name = distinct(stem if seed is None else f"{stem}_seed{seed}", key, names)
            names.add(name.casefold())
            jobs.append(Job(key=key, name=name, file=file, file_hash=file_hash, seed=seed))
    return Plan(workflow=workflow, file_slot=file_slot, seed_slots=seed_slots, jobs=jobs, duplicates=duplicates)


def shortened(stem: str) -> str:
    """Not longer than leaves room for seed, number and ending in the 255 bytes that most file systems allow."""
    name = os.fsencode(stem)
    return stem if len(name) <= LONGEST_STEM else name[:LONGEST_STEM].decode("utf-8", "ignore")


def distinct(name: str, key: str, taken: set[str]) -> str:
    """The name, with a piece of the key where it is taken; `taken` is case-folded, as some file systems are."""
    return f"{name}-{key[:8]}" if name.casefold() in taken else name
