"""What a person sees."""

import io
from dataclasses import replace

import pytest

from workflows.batch.board import Changed, Step
from workflows.batch.jobs import DONE, FAILED, RUNNING, WAITING, Job
from workflows.batch.progress import Bars, Display, Lines, choose_display

JOBS = [Job(key=name, name=name, file=None, file_hash=None, seed=None, server="http://one") for name in ("a", "b")]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bars_on_a_terminal_lines_elsewhere():
    assert type(choose_display(JOBS, quiet=False, stream=io.StringIO())) is Lines
    assert type(choose_display(JOBS, quiet=True, stream=Terminal())) is Display
    display = choose_display(JOBS, quiet=False, stream=Terminal())
    display.close()
    assert type(display) is Bars


def events():
    for job in JOBS:
        yield Changed(replace(job, state=RUNNING))
    for value in (1, 2):
        yield Step(JOBS[0], "My Sampler", value, 2)
        yield Step(JOBS[1], "Decode")
    yield "http://one does not answer"
    yield Changed(replace(JOBS[1], state=WAITING), "lost")
    times = {"started_at": "2026-01-01T00:00:00+00:00", "finished_at": "2026-01-01T00:01:05+00:00"}
    yield Changed(replace(JOBS[0], state=DONE, outputs=["a.mp4"], **times))
    yield Step(JOBS[0], "My Sampler", 2, 2)  # late
    yield Changed(replace(JOBS[1], state=FAILED), "node 3: broken")


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_all_is_told(kind):
    stream = Terminal()
    display = kind(JOBS, stream)
    for event in events():
        display.show(event)
    display.close()
    text = stream.getvalue()
    for words in ("http://one does not answer", "b: waits again, lost", "a: a.mp4 (65 s)", "b: FAILED, node 3: broken"):
        assert words in text


def test_every_running_job_has_a_bar_of_its_own():
    stream = Terminal()
    display = Bars(JOBS, stream)
    for event in list(events())[:6]:
        display.show(event)
    text = stream.getvalue()
    assert "a: My Sampler |" in text
    assert "2/2" in text
    assert "b: Decode" in text
    assert "0/2 jobs" in text
    assert sorted(-bar.pos for bar in display._bars.values()) == [1, 2]
    display.close()


def test_lines_do_not_repeat_every_step(monkeypatch):
    stream = io.StringIO()
    display = Lines(JOBS, stream)
    display.show(Changed(replace(JOBS[0], state=RUNNING)))
    for value in range(50):
        display.show(Step(JOBS[0], "Sampler", value, 50))
    assert stream.getvalue().count("Sampler") == 0
    monkeypatch.setattr("workflows.batch.progress.STEP_SECONDS", 0.0)
    display.show(Step(JOBS[0], "Sampler", 49, 50))
    assert "a: Sampler 49/50" in stream.getvalue()


def test_a_job_without_files_says_so():
    stream = io.StringIO()
    Lines(JOBS, stream).show(Changed(replace(JOBS[0], state=DONE, warning="outputs are left out: x")))
    assert stream.getvalue() == "[1/2] a: done, but it saved no file; outputs are left out: x\n"
