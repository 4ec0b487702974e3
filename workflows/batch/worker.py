"""Keeps one server busy: gives it jobs, looks after them, brings the results home, waits when it is away."""

from __future__ import annotations

import http
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from . import failures
from .board import Board, Step
from .client import Client, Refused, Unreachable
from .feed import Feed
from .jobs import Job, Plan
from .results import remote_files, write_whole

LONGEST_NAME = 100  # of an upload
MAX_UPLOADS = 3
MAX_REFUSALS = 3  # of the first jobs; then a server is left out where others are there


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds: between two looks at a server, and before it is tried again, at first and at most."""

    look: float = 3.0
    first_retry: float = 0.5
    longest_retry: float = 10.0


class Worker:
    """The loop of one server; `run` belongs into a thread of its own and returns when the batch is finished or stopped.

    The queue and the history are the truth. The feed tells when to look, and how far the running job is.
    """

    def __init__(
        self,
        client: Client,
        board: Board,
        plan: Plan,
        folder: Path,
        *,
        client_id: str,
        depth: int,
        patience: float,
        pace: Pace,
    ) -> None:
        self.client, self._board, self._plan, self._folder = client, board, plan, folder
        self._client_id, self._depth, self._patience, self._pace = client_id, depth, patience, pace
        self._feed = Feed(
            client.socket_url(client_id),
            [f"{name}: {value}" for name, value in client.headers.items()],
            self._hear,
            board.stopped,
            pace.first_retry,
        )
        self._bell = board.bells[client.url]
        self._session_of: dict[str, int] = {}  # prompt id -> the feed's session in which the server took it
        self._uploaded: dict[str, str] = {}  # content hash -> name on the server
        self._uploaded_in = 0
        self._broken_uploads: dict[str, int] = {}
        self._away_since: float | None = None
        self._retry = pace.first_retry
        self._is_gone = False
        self._left_behind: list[str] = []  # prompts of a server that was given up; others do them now
        self._refusals: int | None = 0  # None once it has accepted a job

    def run(self) -> None:
        """Raises OSError when results cannot be written here."""
        self._feed.start()
        self._feed.tried.wait(min(self._pace.look, 1.0))  # or we miss how the first job begins
        while not self._board.stopped.is_set() and not self._board.is_finished():
            self._bell.clear()
            try:
                self._look_around()
            except (Unreachable, Refused) as error:
                if not self._board.stopped.is_set():
                    self._away(error)
            else:
                if self._refusals != MAX_REFUSALS:
                    self._bell.wait(self._pace.look)
                elif self._board.leave_out(self.client.url):
                    self._board.events.put(f"{self.client.url} accepted none of {MAX_REFUSALS} jobs and is left out")
                    return
                else:
                    self._refusals = None

    def _look_around(self) -> None:
        known = self.client.queue()  # before the history: a job that ends in between is in one of the two
        self._back()
        for job in self._board.held_by(self.client.url):
            if job.prompt_id in known:
                if known[job.prompt_id]:
                    self._board.running(job)
            elif job.prompt_id:
                self._settle(job)
        for job in self._board.held_by(self.client.url):
            if not job.prompt_id:  # its upload broke off
                self._send(job)
        while not self._is_busy() and (job := self._board.take(self.client.url)) is not None:
            self._send(job)

    def _is_busy(self) -> bool:
        held = len(self._board.held_by(self.client.url))
        return held >= self._depth or self._refusals == MAX_REFUSALS or self._board.stopped.is_set()

    def _send(self, job: Job) -> None:
        session = self._feed.session if self._feed.connected else 0
        try:
            uploaded = None if job.file is None else self._upload(job)
            prompt_id = str(uuid.uuid4())
            self._board.about_to_send(job, prompt_id)
            prompt = self._plan.prompt(job, uploaded)
            prompt_id, node_errors = self.client.submit(prompt, prompt_id, self._client_id)
        except Refused as refused:
            if self._refusals is not None and refused.status == http.HTTPStatus.BAD_REQUEST:
                self._refusals += 1
            self._board.refused(job, self.client.url, failures.of_refusal(self._plan.workflow, refused))
            return
        except UnreadableFile as error:
            self._board.failed(job, {"message": str(error)})
            return
        self._refusals = None
        self._session_of[prompt_id] = session
        left_out = [failures.in_words(error) for error in failures.of_outputs(self._plan.workflow, node_errors)]
        self._board.sent(job, prompt_id, f"outputs are left out: {'; '.join(left_out)}" if left_out else None)

    def _upload(self, job: Job) -> str:
        if self._uploaded_in != self._feed.session:  # perhaps another machine under the same address
            self._uploaded, self._uploaded_in = {}, self._feed.session
        if job.file_hash not in self._uploaded:
            # The hash keeps files of one name apart; plain letters pass through every form encoding and file system.
            plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in job.file.name)
            try:
                self._uploaded[job.file_hash] = self.client.upload(
                    job.file, f"{job.file_hash[:12]}_{plain[-LONGEST_NAME:]}"
                )
            except OSError as error:
                raise UnreadableFile(f"cannot read {job.file}: {error.strerror}") from error
            except Unreachable as error:
                broken = self._broken_uploads[job.key] = self._broken_uploads.get(job.key, 0) + 1
                if broken >= MAX_UPLOADS:
                    raise UnreadableFile(
                        f"the upload of {job.file} broke off {broken} times ({error}); servers take files "
                        "up to their --max-upload-size (in MB, 100 if not given)"
                    ) from error
                raise
        return self._uploaded[job.file_hash]

    def _settle(self, job: Job) -> None:
        entry = self.client.history(job.prompt_id)
        if entry is None:
            same = self._feed.connected and self._session_of.get(job.prompt_id) == self._feed.session
            if same:
                self._board.failed(job, {"message": f"removed from the queue of {self.client.url} by somebody"})
            else:
                self._board.lost(job, f"{self.client.url} does not know it any more, as after a restart")
            return
        if (error := failures.of_history(self._plan.workflow, entry)) is not None:
            self._board.failed(job, error)
            return
        self._board.running(job)
        files = remote_files(entry.get("outputs") or {})
        try:
            for file, name in zip(files, self._board.claim(job, files), strict=True):
                write_whole(self._folder / name, self.client.download(file.filename, file.subfolder, file.type))
        except Refused as refused:
            self._board.failed(job, {"message": f"its result is no longer on {self.client.url} ({refused})"})
        else:
            self._board.done(job)

    def _hear(self, kind: str, data: dict) -> None:
        """In the feed's thread. Messages of other prompts, and of ours that have ended, are not for us."""
        if (job := self._board.with_prompt(data["prompt_id"])) is None:
            return
        node = data.get("node")
        if kind in ("executing", "progress") and node is not None:
            self._board.running(job)
            value, maximum = (int(data.get(name) or 0) for name in ("value", "max"))
            self._board.events.put(Step(job, self._plan.workflow.title(str(node)), value, maximum))
        elif kind.startswith("execution_") or kind == "executing":
            self._board.ring(self.client.url)  # it has begun or ended

    def _away(self, error: Exception) -> None:
        self._uploaded = {}
        if self._away_since is None:
            self._away_since, self._retry = time.monotonic(), self._pace.first_retry
            what = f"{self.client.url} answers {error}" if isinstance(error, Refused) else str(error)
            self._board.events.put(f"{what}; trying again for {self._patience:g} s")
        elif not self._is_gone and time.monotonic() - self._away_since > self._patience:
            self._is_gone = True
            self._board.events.put(f"{self.client.url} did not come back within {self._patience:g} s")
            held = self._board.held_by(self.client.url)
            self._left_behind += [job.prompt_id for job in held if job.prompt_id]
            self._board.server_gone(self.client.url)
        self._bell.wait(self._retry)
        self._retry = min(2 * self._retry, self._pace.longest_retry)

    def _back(self) -> None:
        if self._away_since is None:
            return
        self._away_since = None
        self._board.events.put(f"{self.client.url} is there again")
        if self._is_gone:
            self.client.cancel(self._left_behind)
            self._is_gone, self._left_behind = False, []
            self._board.server_back(self.client.url)


class UnreadableFile(Exception):  # noqa: N818 - about the file, not about us
    """An input that cannot be brought to the server."""
