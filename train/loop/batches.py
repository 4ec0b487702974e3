"""The samples of a process, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cv2
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    from .run import Run


def load_groups(run: Run) -> Iterator[dict[str, Any]]:
    """The groups of this process, from the run's next step to its last; one process prepares the data for all."""
    with run.accelerator.main_process_first():
        groups = run.task.groups()
    workers = run.config.workers
    loader = DataLoader(
        groups,
        batch_size=None,
        sampler=run.sampler(run.step),
        num_workers=workers,
        worker_init_fn=_init_worker if workers else None,
        pin_memory=run.device.type == "cuda",
    )
    return iter(loader)


def _init_worker(_: int) -> None:
    """OpenCV's threads do not live through a fork, and there are processes enough."""
    cv2.setNumThreads(0)
