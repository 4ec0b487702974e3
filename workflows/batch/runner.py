"""One thread for each server, events to the display, and an orderly end whatever happens."""

from __future__ import annotations

import queue
import threading

from .board import Board
from .client import Client, Refused, Unreachable
from .progress import Display
from .worker import Worker

BEAT_SECONDS = 0.2
END_SECONDS = 5.0


class WorkerThread(threading.Thread):
    """A worker's loop; `error` is why it ended early, `has_broken` that it ended by a fault of ours, told on stderr.

    A daemon, so that a server that hangs does not hold us.
    """

    def __init__(self, worker: Worker) -> None:
        super().__init__(name=f"worker {worker.client.url}", daemon=True)
        self.worker = worker
        self.error: OSError | None = None
        self.has_broken = True

    def run(self) -> None:
        try:
            self.worker.run()
        except OSError as error:  # of our own disk: the client turns those of the network into others
            self.error = error
        self.has_broken = False


def run_workers(workers: list[Worker], board: Board, display: Display) -> None:
    """Returns when the batch is finished, stopped, or has no worker left.

    Raises:
        OSError: when results or the manifest cannot be written.
        KeyboardInterrupt: after the workers have ended.
    """
    threads = [WorkerThread(worker) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            show(board, display, BEAT_SECONDS)
            if board.is_finished() or any(has_failed(thread) for thread in threads):
                break
    finally:
        board.stop()
        for thread in threads:
            thread.worker.client.abort()
        for thread in threads:
            thread.join(END_SECONDS)
        show(board, display, 0)
    for thread in threads:
        if thread.error is not None:
            raise thread.error


def has_failed(thread: WorkerThread) -> bool:
    """Whether a worker ended in a way that leaves its jobs to nobody."""
    return not thread.is_alive() and (thread.has_broken or thread.error is not None)


def show(board: Board, display: Display, seconds: float) -> None:
    """Hands on what has happened, after waiting for the first event."""
    try:
        display.show(board.events.get(timeout=seconds))
        while True:
            display.show(board.events.get_nowait())
    except queue.Empty:
        display.tick()


def withdraw(clients: list[Client], board: Board, display: Display) -> None:
    """Takes our prompts out of the servers' queues and stops those that run. What has ended stays, to be fetched."""
    for client in clients:
        jobs = {job.prompt_id: job for job in board.held_by(client.url) if job.prompt_id}
        try:
            for prompt_id in client.cancel(list(jobs)):
                board.withdrawn(jobs[prompt_id])
        except (Unreachable, Refused) as error:
            display.show(f"cannot take jobs back: {error}")
    show(board, display, 0)
