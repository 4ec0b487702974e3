"""Every process of a machine with several GPUs computes on its own."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from train.pairs.devices import WORKER, local_number, pick_device
from train.pairs.engines import run_shards


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for name in ("LOCAL_RANK", "SLURM_LOCALID", WORKER):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "index"),
    [
        ({}, 0),
        ({"LOCAL_RANK": "3"}, 3),
        ({"LOCAL_RANK": "6"}, 2),
        ({"SLURM_LOCALID": "2"}, 2),
        ({"LOCAL_RANK": "1", "SLURM_LOCALID": "0"}, 1),  # torchrun inside of a Slurm task
        ({WORKER: "3/8"}, 3),
        ({WORKER: "5/8"}, 1),
        ({"LOCAL_RANK": "1", WORKER: "1/2"}, 3),
    ],
)
@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_has_its_gpu(four_gpus, monkeypatch, name, environment, index):
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert pick_device(name) == torch.device("cuda", index)
    assert pick_device("cpu") == torch.device("cpu")


def test_ranks_with_workers_use_every_gpu_as_often():
    numbers = [local_number({"LOCAL_RANK": str(r), WORKER: f"{w}/2"}) for r in range(4) for w in range(2)]
    assert sorted(numbers) == list(range(8))


def test_a_gpu_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"encode\.device is cuda, but PyTorch sees none: use encode\.device=cpu"):
        pick_device("cuda")


@dataclass(frozen=True)
class TellWorker:
    """Work that notes its worker's number, once all workers are there."""

    folder: Path
    uses_gpu: ClassVar[bool] = False

    def __call__(self, shard, advance=print):
        (self.folder / os.environ[WORKER].replace("/", " of ")).touch()
        while len(list(self.folder.iterdir())) < 2:  # so that one fast worker does not make all shards
            pass
        return 1


def test_workers_of_a_job_have_numbers(tmp_path):
    run_shards(TellWorker(tmp_path), range(2), engine="local", workers=2, advance=lambda n: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0 of 2", "1 of 2"]
