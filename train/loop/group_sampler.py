"""Which groups a process computes: step s takes groups s*G to s*G+G-1, process r of W those with g % W == r."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GroupSampler:
    """Numbers of the groups of one process, for `DataLoader(batch_size=None, sampler=...)`.

    The samples of a step are the same for any number of processes, and a run that goes on needs its step alone.

    Attributes:
        groups_per_step: G, micro-batches of a step over all processes.
        first_step: finished steps.
        steps: of the whole run.
        process: r, from 0.
        processes: W; must divide G.

    Raises:
        ValueError: the processes cannot share a step evenly.
    """

    groups_per_step: int
    first_step: int
    steps: int
    process: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        if self.groups_per_step % self.processes:
            fitting = [n for n in range(1, self.groups_per_step + 1) if self.groups_per_step % n == 0]
            raise ValueError(
                f"{self.processes} processes cannot share {self.groups_per_step} micro-batches a step evenly: start "
                f"{', '.join(map(str, fitting))} processes, or choose batch = micro_batch * a multiple of "
                f"{self.processes}"
            )

    @property
    def accumulation(self) -> int:
        """Groups of a step on this process."""
        return self.groups_per_step // self.processes

    def __len__(self) -> int:
        return max(self.steps - self.first_step, 0) * self.accumulation

    def __iter__(self) -> Iterator[int]:
        first, stop = (n * self.groups_per_step for n in (self.first_step, self.steps))
        yield from range(first + self.process, stop, self.processes)
