"""A request to stop from a scheduler or a person: remembered, and acted on between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType

NAMES = ("SIGTERM", "SIGUSR1", "SIGINT")
"""Slurm sends SIGTERM, or with `--signal` SIGUSR1 some time before; Ctrl-C is SIGINT."""


class StopSignal:
    """Context in which the first signal asks for a stop and a second Ctrl-C interrupts at once.

    Attributes:
        received: name of the signal, None before.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for name in NAMES:
                number = getattr(signal, name, None)  # Windows has no SIGUSR1
                if number is not None:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
