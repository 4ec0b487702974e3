"""Progress bars with time left, one for each phase of a run, on standard error."""

from __future__ import annotations

from types import TracebackType

from tqdm import tqdm


class Progress:
    """One bar at a time; the one that is open when an error passes is closed, so that the message has its own line."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def phase(self, name: str, total: int | None, unit: str) -> None:
        """Begin a phase; `total` None where the length is not known beforehand."""
        self.close()
        self._bar = tqdm(total=total, desc=name, unit=unit)

    def advance(self, n: int = 1) -> None:
        """Count `n` more units of the phase."""
        self._bar.update(n)

    def close(self) -> None:
        """End the phase."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
