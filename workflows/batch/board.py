"""The board all workers look at: who takes which job, what became of it; every change goes to the manifest first."""

from __future__ import annotations

import dataclasses
import queue
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .failures import in_words
from .jobs import DONE, FAILED, QUEUED, RUNNING, SETTLED, WAITING, Job
from .manifest import Manifest
from .results import RemoteFile, local_names

MAX_LOSSES = 3  # a job that was running each time a server went away may be the reason
MAX_ATTEMPTS = 10


@dataclass(frozen=True)
class Changed:
    """A job as it is now (a copy), and a word about why, where that is not plain."""

    job: Job
    note: str = ""


@dataclass(frozen=True)
class Step:
    """How far a running job is: step `value` of `maximum` of a node; 0 of 0 where the node does not count."""

    job: Job
    node: str
    value: int = 0
    maximum: int = 0


def now() -> str:
    """ISO 8601, UTC, seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class Board:
    """Jobs of this run. All methods may be called from any thread; `events` (Changed, Step, str) are for the display.

    A job belongs to a server from `take` until it is settled or given back.
    """

    def __init__(self, jobs: list[Job], manifest: Manifest, servers: list[str]) -> None:
        self.jobs, self._manifest, self._servers = jobs, manifest, servers
        self.events: queue.SimpleQueue[Changed | Step | str] = queue.SimpleQueue()
        self.stopped = threading.Event()
        self._lock = threading.RLock()
        self._gone: set[str] = set()
        self.bells = {server: threading.Event() for server in servers}
        self._by_prompt: dict[str, Job] = {}
        for job in jobs:
            if job.state in (QUEUED, RUNNING) and (job.server not in servers or not job.prompt_id):
                job.restart()
            elif job.state in (QUEUED, RUNNING):
                job.state = QUEUED  # until we see it run
                self._by_prompt[job.prompt_id] = job
        manifest.save(*jobs)

    def stop(self) -> None:
        """Workers end after what they are doing."""
        self.stopped.set()
        self.ring()

    def ring(self, server: str | None = None) -> None:
        """Wakes one worker, or all."""
        for bell in self.bells.values() if server is None else [self.bells[server]]:
            bell.set()

    def is_finished(self) -> bool:
        """Whether every job is done or failed."""
        with self._lock:
            return all(job.state in SETTLED for job in self.jobs)

    def no_server_left(self) -> bool:
        """Whether all servers are gone."""
        with self._lock:
            return len(self._gone) == len(self._servers)

    def held_by(self, server: str) -> list[Job]:
        """Unsettled jobs that belong to a server."""
        with self._lock:
            return [job for job in self.jobs if job.server == server and job.state not in SETTLED]

    def with_prompt(self, prompt_id: str) -> Job | None:
        """The unsettled job behind a prompt id; None for prompts of others."""
        with self._lock:
            job = self._by_prompt.get(prompt_id)
            return job if job is not None and job.prompt_id == prompt_id and job.state not in SETTLED else None

    def take(self, server: str) -> Job | None:
        """The next waiting job that this server has not refused; None when there is none."""
        with self._lock:
            for job in self.jobs:
                if job.state == WAITING and job.server is None and server not in job.refusals:
                    job.server = server
                    return job
        return None

    def about_to_send(self, job: Job, prompt_id: str) -> None:
        """Before the prompt is posted, so that a stop right after it leaves a job that can be found again."""
        self._change(job, state=QUEUED, prompt_id=prompt_id, attempts=job.attempts + 1, queued_at=now())

    def sent(self, job: Job, prompt_id: str, warning: str | None) -> None:
        """The server took it, under this id."""
        self._change(job, quiet=True, prompt_id=prompt_id, warning=warning)

    def running(self, job: Job) -> None:
        """The server works on it."""
        with self._lock:
            if job.state == QUEUED:
                self._change(job, state=RUNNING, started_at=job.started_at or now())

    def claim(self, job: Job, files: list[RemoteFile]) -> list[str]:
        """Names in the output folder for the files of a job, remembered as its own before they are written."""
        with self._lock:
            own = {name.casefold() for name in job.outputs}
            there = {path.name.casefold() for path in self._manifest.folder.iterdir()}
            taken = self._manifest.foreign_outputs(job) | (there - own)
            self._change(job, quiet=True, outputs=local_names(job.name, job.key, files, taken))
            return job.outputs

    def done(self, job: Job) -> None:
        """Its files are here."""
        self._change(job, state=DONE, error=None, finished_at=now())
        self.ring()

    def failed(self, job: Job, error: dict[str, str]) -> None:
        """It has no result and is not tried again in this run."""
        self._change(job, note=in_words(error), state=FAILED, error=error, finished_at=now())
        self.ring()

    def lost(self, job: Job, why: str) -> None:
        """The server does not know it any more: it waits again, unless that happened too often."""
        with self._lock:
            losses = job.losses + (job.state == RUNNING)
            if losses >= MAX_LOSSES:
                self.failed(job, {"message": f"{why}; it was running {losses} times then, and may be the reason"})
                return
            if job.attempts >= MAX_ATTEMPTS:
                self.failed(job, {"message": f"{why}; it was queued {job.attempts} times"})
                return
            job.restart()
            self._change(job, note=why, losses=losses)
        self.ring()

    def refused(self, job: Job, server: str, error: dict[str, str]) -> None:
        """A server does not accept the job; another one may have the models or nodes that it lacks."""
        with self._lock:
            job.refusals[server] = error
            job.restart()
            self._change(job, quiet=True)
            self._fail_unwanted()
            if job.state == WAITING:
                self.events.put(Changed(dataclasses.replace(job), f"not accepted by {server}: {in_words(error)}"))
        self.ring()

    def withdrawn(self, job: Job) -> None:
        """It was taken out of its server's queue on our own request."""
        with self._lock:
            job.restart()
            self._change(job, note="taken back")

    def server_gone(self, server: str) -> None:
        """Gives a server's jobs to the others; when no other is left they stay, for the next run to look for them."""
        with self._lock:
            self._gone.add(server)
            if self.no_server_left():
                self.stop()
                return
            for job in self.held_by(server):
                self.lost(job, f"{server} went away")
            self._fail_unwanted()

    def leave_out(self, server: str) -> bool:
        """Gives up a server that accepts nothing, unless it is the last; whether it was given up."""
        with self._lock:
            if len(self._gone | {server}) == len(self._servers):
                return False
            self.server_gone(server)
        return True

    def server_back(self, server: str) -> None:
        """It takes jobs again."""
        with self._lock:
            self._gone.discard(server)

    def _fail_unwanted(self) -> None:
        for job in self.jobs:
            if job.state == WAITING and job.server is None and job.refusals:
                willing = set(self._servers) - self._gone - set(job.refusals)
                if not willing:
                    self.failed(job, list(job.refusals.values())[-1])

    def _change(self, job: Job, *, note: str = "", quiet: bool = False, **values: Any) -> None:
        with self._lock:
            for name, value in values.items():
                setattr(job, name, value)
            if job.prompt_id:
                self._by_prompt[job.prompt_id] = job
            self._manifest.save(job)
            if not quiet:
                self.events.put(Changed(dataclasses.replace(job), note))
