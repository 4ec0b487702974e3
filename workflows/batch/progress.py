"""What a person sees: a bar for each running job on a terminal, lines elsewhere, failures only when quiet."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import TextIO

from .board import Changed, Step
from .jobs import DONE, FAILED, RUNNING, SETTLED, WAITING, Job

try:
    from tqdm import tqdm
except ImportError:
    tqdm = None

STEP_SECONDS = 10.0  # between two lines about the steps of one job


def describe(changed: Changed) -> str | None:
    """The line about a change, None for one that does not deserve it."""
    job = changed.job
    if job.state == DONE:
        warning = f"; {job.warning}" if job.warning else ""
        return f"{job.name}: {', '.join(job.outputs) or 'done, but it saved no file'}{duration(job)}{warning}"
    if job.state == FAILED:
        return f"{job.name}: FAILED, {changed.note}"
    if job.state == WAITING and changed.note:
        return f"{job.name}: waits again, {changed.note}"
    return None


def duration(job: Job) -> str:
    """` (12 s)`, from when the server was seen to begin."""
    if job.started_at is None or job.finished_at is None:
        return ""
    seconds = (datetime.fromisoformat(job.finished_at) - datetime.fromisoformat(job.started_at)).total_seconds()
    return f" ({seconds:.0f} s)"


class Display:
    """Quiet: failures only."""

    def __init__(self, jobs: list[Job], stream: TextIO) -> None:
        self.total, self.settled = len(jobs), sum(job.state in SETTLED for job in jobs)
        self._stream = stream

    def show(self, event: Changed | Step | str) -> None:
        """Shows what has happened."""
        if isinstance(event, str):
            self.note(event)
        elif isinstance(event, Step):
            self.step(event)
        else:
            self.settled += event.job.state in SETTLED
            self.change(event)

    def note(self, text: str) -> None:
        """About a server."""

    def step(self, step: Step) -> None:
        """About a running job."""

    def change(self, changed: Changed) -> None:
        """About a job's state."""
        if changed.job.state == FAILED:
            self.say(describe(changed))

    def say(self, text: str) -> None:
        """A line."""
        print(text, file=self._stream, flush=True)

    def tick(self) -> None:
        """Now and then, so that clocks go on where nothing happens."""

    def close(self) -> None:
        """Takes away what is not a line."""


class Lines(Display):
    """A line for every change, and now and then one for the steps."""

    def __init__(self, jobs: list[Job], stream: TextIO) -> None:
        super().__init__(jobs, stream)
        self._last_step: dict[str, float] = {}

    def note(self, text: str) -> None:
        self.say(text)

    def step(self, step: Step) -> None:
        if step.maximum and time.monotonic() - self._last_step.get(step.job.key, 0.0) > STEP_SECONDS:
            self._last_step[step.job.key] = time.monotonic()
            self.say(f"{step.job.name}: {step.node} {step.value}/{step.maximum}")

    def change(self, changed: Changed) -> None:
        if changed.job.state == RUNNING:
            self._last_step[changed.job.key] = time.monotonic()
            self.say(f"{changed.job.name}: running on {changed.job.server}")
        elif (text := describe(changed)) is not None:
            self.say(f"[{self.settled}/{self.total}] {text}")


class Bars(Display):
    """A bar for the batch and one below it for each running job: the node's name and its steps."""

    def __init__(self, jobs: list[Job], stream: TextIO) -> None:
        super().__init__(jobs, stream)
        self._bars: dict[str, tqdm] = {}
        form = "{n_fmt}/{total_fmt} jobs |{bar}| {elapsed}"
        self._batch = tqdm(total=self.total, initial=self.settled, bar_format=form, file=stream, position=0)

    def say(self, text: str) -> None:
        tqdm.write(text, file=self._stream)

    def note(self, text: str) -> None:
        self.say(text)

    def step(self, step: Step) -> None:
        if (bar := self._bars.get(step.job.key)) is None:
            return  # a message that came after the job's end
        bar.total, bar.n = step.maximum or None, step.value
        bar.bar_format = "  {desc} |{bar}| {n_fmt}/{total_fmt} {elapsed}" if step.maximum else "  {desc} {elapsed}"
        bar.set_description_str(f"{step.job.name}: {step.node}")

    def change(self, changed: Changed) -> None:
        job = changed.job
        if job.state == RUNNING and job.key not in self._bars:
            taken = {-bar.pos for bar in self._bars.values()}
            position = next(i for i in range(1, len(taken) + 2) if i not in taken)
            form = "  {desc} {elapsed}"
            self._bars[job.key] = tqdm(
                desc=f"{job.name}: running", bar_format=form, file=self._stream, position=position, leave=False
            )
        elif job.state != RUNNING and (bar := self._bars.pop(job.key, None)) is not None:
            bar.close()
        if (text := describe(changed)) is not None:
            self.say(text)
        self._batch.n = self.settled
        self._batch.refresh()

    def tick(self) -> None:
        for bar in [self._batch, *self._bars.values()]:
            bar.refresh()

    def close(self) -> None:
        for bar in [*self._bars.values(), self._batch]:
            bar.close()


def choose_display(jobs: list[Job], *, quiet: bool, stream: TextIO | None = None) -> Display:
    """Bars where somebody watches and tqdm is installed."""
    stream = stream or sys.stderr
    if quiet:
        return Display(jobs, stream)
    return Bars(jobs, stream) if tqdm is not None and stream.isatty() else Lines(jobs, stream)
