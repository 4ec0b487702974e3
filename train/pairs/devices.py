"""Which device a process computes on: the processes of one machine share its GPUs out among themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

WORKER = "GVR_WORKER"
"""Environment variable with `k/n`: this process is worker k of the n that one job has started with `--workers`."""


def pick_device(name: str) -> torch.device:
    """The device of a config, "auto", "cpu" or "cuda". Raises ValueError for "cuda" without one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("encode.device is cuda, but PyTorch sees none: use encode.device=cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", local_number(os.environ) % torch.cuda.device_count())


def local_number(environment: Mapping[str, str]) -> int:
    """The number of a process among those of this machine, from 0 on.

    torchrun tells a rank's, Slurm a task's; each of them may have workers. Processes that see one GPU each (a task with
    its own CUDA_VISIBLE_DEVICES, an actor of Ray) share nothing, whatever their number.
    """
    rank = int(environment.get("LOCAL_RANK") or environment.get("SLURM_LOCALID") or 0)
    worker, workers = (int(part) for part in environment.get(WORKER, "0/1").split("/"))
    return rank * workers + worker
