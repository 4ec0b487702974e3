"""Who makes which shard: this job's part of them, spread over processes here or over a Ray cluster.

Shards know nothing of each other, so every way of spreading them gives the same files. OpenCV's optical flow and
PyTorch's convolutions may round differently with another number of threads: every worker uses one thread, always.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, Protocol

import cv2
import torch

from .devices import WORKER

ENGINES = ("local", "ray")


class Work(Protocol):
    """Makes one shard and returns the number of clips or samples; picklable.

    Attributes:
        uses_gpu: whether it computes on a GPU where there is one.
    """

    @property
    def uses_gpu(self) -> bool: ...

    def inputs(self, shard: int) -> str:
        """Stands for all that the shard is made from beside the plan."""

    def __call__(self, shard: int, advance: Callable[[int], object] = ...) -> int: ...


def part_of_run(text: str | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """(i, n): this job makes every shard whose number is i modulo n.

    Args:
        text: "i/n" as given, 0 <= i < n; None to ask the environment: the task of a Slurm array, the rank under
            torchrun or else the task of an `srun` step, array and rank together where both are set, else everything.
        environment: variables of the process.

    Raises:
        ValueError: no such pair, or a Slurm array with gaps.
    """
    if text is not None:
        try:
            i, n = (int(part) for part in text.split("/"))
        except ValueError as error:
            raise ValueError(f"--shard is {text!r}, expected i/n such as 0/8") from error
    else:
        task, count = _slurm_task(environment)
        rank, world = _rank(environment)
        i, n = task * world + rank, count * world
    if not 0 <= i < n:
        raise ValueError(f"part {i}/{n} does not exist: i counts from 0 to n - 1")
    return i, n


def _rank(environment: Mapping[str, str]) -> tuple[int, int]:
    if "RANK" in environment:
        return int(environment["RANK"]), int(environment.get("WORLD_SIZE", 1))
    # Set by srun alone: a batch script that starts one process has SLURM_PROCID and SLURM_NTASKS too.
    if "SLURM_STEP_NUM_TASKS" in environment:
        return int(environment.get("SLURM_PROCID", 0)), int(environment["SLURM_STEP_NUM_TASKS"])
    return 0, 1


def _slurm_task(environment: Mapping[str, str]) -> tuple[int, int]:
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return 0, 1
    first, step = int(environment.get("SLURM_ARRAY_TASK_MIN", 0)), int(environment.get("SLURM_ARRAY_TASK_STEP", 1))
    task, count = (int(environment["SLURM_ARRAY_TASK_ID"]) - first) // step, int(environment["SLURM_ARRAY_TASK_COUNT"])
    if task >= count:
        raise ValueError("the ids of this Slurm array have gaps: give --shard i/n instead")
    return task, count


def run_shards(
    work: Work, shards: Sequence[int], *, engine: str, workers: int, advance: Callable[[int], object]
) -> None:
    """Make shards.

    Args:
        work: makes one.
        shards: their numbers.
        engine: "local" or "ray".
        workers: processes, at least 1; one works in this process.
        advance: told of finished clips or samples.

    Raises:
        ValueError: what a shard raised, an unknown engine, Ray not installed, or a worker that died.
    """
    if workers < 1:
        raise ValueError(f"--workers is {workers}, expected at least 1")
    if engine not in ENGINES:
        raise ValueError(f"--engine is {engine!r}, expected one of {', '.join(ENGINES)}")
    if engine == "ray":
        _run_on_ray(work, shards, workers, advance)
    elif workers == 1:
        with one_thread():
            for shard in shards:
                work(shard, advance)
    else:
        _run_in_processes(work, shards, workers, advance)


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV and PyTorch compute with one thread inside the block."""
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)


def _run_in_processes(work: Work, shards: Sequence[int], workers: int, advance: Callable[[int], object]) -> None:
    context = multiprocessing.get_context("spawn")
    workers = min(workers, max(len(shards), 1))
    pool = ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=_start_worker,
        initargs=(work, logging.getLogger().level, context.Value("i", 0), workers),
    )
    try:
        futures = [pool.submit(_work_in_process, shard) for shard in shards]
        for future in as_completed(futures):
            advance(future.result())
    except BrokenProcessPool as error:
        raise ValueError(
            "a worker process was killed, probably for memory: what is finished is kept; use fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_work: Work | None = None
"""What this worker process does: sent once at its start, because the list of clips can be long."""


def _start_worker(work: Work, log_level: int, started: Any, workers: int) -> None:
    global _work  # a worker process has one job and no other place to keep it
    _work = work
    with started.get_lock():
        os.environ[WORKER] = f"{started.value}/{workers}"
        started.value += 1
    logging.basicConfig(level=log_level, format="%(message)s")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        # The pool's workers would wait for work for ever after the main process was killed.
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _work_in_process(shard: int) -> int:
    return _work(shard)


def _run_on_ray(work: Work, shards: Sequence[int], workers: int, advance: Callable[[int], object]) -> None:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ValueError('--engine ray needs Ray, and that is not installed: pip install "ray[data]"') from error

    class Worker:
        """An actor of Ray Data: loads weights once and makes shard after shard."""

        def __init__(self, work: Work) -> None:
            self.work = work

        def __call__(self, row: dict[str, int]) -> dict[str, int | str]:
            try:
                with one_thread():
                    return {"done": self.work(int(row["shard"])), "error": ""}
            except ValueError as error:  # Ray would wrap it so often that nobody could read it
                return {"done": 0, "error": str(error)}

    # Joins the cluster that RAY_ADDRESS names, or makes one of this machine.
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=max(len(shards), 1))
    gpus = {"num_gpus": 1} if work.uses_gpu and ray.cluster_resources().get("GPU") else {}
    actors = ray.data.ActorPoolStrategy(size=min(workers, max(len(shards), 1)))
    done = rows.map(Worker, fn_constructor_args=(work,), compute=actors, **gpus)
    for row in done.iter_rows():
        if row["error"]:
            raise ValueError(row["error"])
        advance(int(row["done"]))
