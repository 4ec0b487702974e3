"""From arguments to exit code."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from . import feed
from .arguments import INSTALL, parser
from .board import Board
from .client import Client
from .failures import in_words
from .inputs import content_hash, find_files
from .jobs import DONE, FAILED, SETTLED, Job, Plan, make_plan
from .manifest import Manifest
from .progress import choose_display
from .runner import run_workers, withdraw
from .worker import Pace, Worker
from .workflow import Workflow

DEFAULT_SERVER = "http://127.0.0.1:8188"
ALL_DONE, SOME_FAILED, STOPPED = 0, 1, 130


def main(argv: list[str] | None = None, pace: Pace | None = None) -> int:
    """Runs the batch that the arguments describe. Raises SystemExit (2) for wrong arguments."""
    line = parser()
    arguments = line.parse_args(argv)
    if not feed.is_available():
        line.error(f"websocket-client is not installed: {INSTALL}")
    try:
        clients = make_clients(arguments)
        plan = plan_of(arguments)
        manifest = Manifest(arguments.output)
    except ValueError as error:
        line.error(str(error))
    except KeyboardInterrupt:
        return STOPPED
    try:
        return run(arguments, clients, plan, manifest, pace or Pace())
    except KeyboardInterrupt:
        return STOPPED
    except OSError as error:
        say(f"cannot write to {arguments.output}: {error}")
        return SOME_FAILED
    finally:
        manifest.close()


def make_clients(arguments: argparse.Namespace) -> list[Client]:
    """One for each server, however often it is named."""
    clients = [Client(address, timeout=arguments.timeout) for address in arguments.servers or [DEFAULT_SERVER]]
    return list({client.url: client for client in clients}.values())


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Workflow, files and seeds put together. Raises ValueError for everything a person can get wrong."""
    workflow = Workflow.load(arguments.workflow)
    for setting in arguments.settings:
        workflow.set(setting)
    if arguments.input_node is not None and not arguments.inputs:
        raise ValueError("--input-node says where files go, but there are none: give --inputs")
    if arguments.seed_node and not arguments.seeds:
        raise ValueError("--seed-node says where seeds go, but there are none: give --seeds")
    files, file_slot = [], None
    if arguments.inputs:
        file_slot = workflow.file_slot(arguments.input_node)
        files = find_files(arguments.inputs, workflow.nodes[file_slot.node]["class_type"])
        output = arguments.output.resolve()
        if any(file.resolve().parent == output for file in files):
            raise ValueError(f"--output {arguments.output} holds inputs: results there would be inputs the next time")
    seed_slots = workflow.seed_slots(arguments.seed_node) if arguments.seeds else []
    return make_plan(workflow, files, file_slot, arguments.seeds, seed_slots, content_hash)


def run(arguments: argparse.Namespace, clients: list[Client], plan: Plan, manifest: Manifest, pace: Pace) -> int:
    """Does what is left, and tells how it went."""
    manifest.restore(plan.jobs, retry_failed=arguments.retry_failed)
    known = [job for job in plan.jobs if job.state in SETTLED]
    board = Board(plan.jobs, manifest, [client.url for client in clients])
    display = choose_display(plan.jobs, quiet=arguments.quiet)
    for file, same in plan.duplicates:
        display.note(f"{file} is the same as {same} and done once")
    workers = [
        Worker(
            client,
            board,
            plan,
            arguments.output,
            client_id=manifest.client_id,
            depth=arguments.depth,
            patience=arguments.timeout,
            pace=pace,
        )
        for client in clients
    ]
    stopped = False
    try:
        if not board.is_finished():
            run_workers(workers, board, display)
    except KeyboardInterrupt:
        stopped = True
        if arguments.cancel_on_interrupt:
            withdraw(clients, board, display)
    finally:
        display.close()
    if not stopped and not board.is_finished():
        why = "no server is left" if board.no_server_left() else "a fault ended the batch"
        say(f"{why}: the same command goes on with what is not done")
    report(plan.jobs, known, arguments, stopped)
    if stopped:
        return STOPPED
    return ALL_DONE if all(job.state == DONE for job in plan.jobs) else SOME_FAILED


def report(jobs: list[Job], known: list[Job], arguments: argparse.Namespace, stopped: bool) -> None:
    """The end in a few lines; failures of this run have been told already."""
    count = Counter(job.state if job.state in SETTLED else "left" for job in jobs)
    before = Counter(job.state for job in known)
    if before[FAILED]:
        for job in known:
            if job.state == FAILED and job.error:
                say(f"{job.name}: failed earlier, {in_words(job.error)}")
        say("jobs that failed earlier are done again with --retry-failed")
    if arguments.quiet:
        return
    parts = [f"{count[DONE]} done{f' ({before[DONE]} before)' if before[DONE] else ''}", f"{count[FAILED]} failed"]
    if count["left"]:
        parts.append(f"{count['left']} left")
    say(f"{'stopped: ' if stopped else ''}{', '.join(parts)}; see {arguments.output / 'manifest.json'}")


def say(text: str) -> None:
    """Everything goes to stderr, beside the bars."""
    print(text, file=sys.stderr, flush=True)
