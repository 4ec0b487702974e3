import sys

import cv2
import pytest
import torch

from train.pairs.engines import part_of_run, run_shards


@pytest.mark.parametrize(
    ("text", "environment", "part"),
    [
        (None, {}, (0, 1)),
        ("3/8", {"RANK": "1", "WORLD_SIZE": "2"}, (3, 8)),
        (None, {"RANK": "1", "WORLD_SIZE": "2"}, (1, 2)),
        (None, {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8"}, (5, 8)),
        (None, {"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, (0, 1)),  # one process of a batch script
        (None, {"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8"}, (1, 2)),
        (None, {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, (3, 4)),
        (
            None,
            {
                "SLURM_ARRAY_TASK_ID": "7",
                "SLURM_ARRAY_TASK_COUNT": "4",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            (3, 4),
        ),
        (None, {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "4", "RANK": "1", "WORLD_SIZE": "2"}, (5, 8)),
    ],
)
def test_the_part_comes_from_the_option_or_the_environment(text, environment, part):
    assert part_of_run(text, environment) == part


@pytest.mark.parametrize(("text", "message"), [("8/8", "does not exist"), ("x", "expected i/n"), ("-1/3", "not exist")])
def test_parts_that_do_not_exist_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        part_of_run(text, {})


def test_a_slurm_array_with_gaps_is_refused():
    with pytest.raises(ValueError, match="have gaps"):
        part_of_run(None, {"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "3"})


def test_shards_are_made_with_one_thread():
    before = torch.get_num_threads(), cv2.getNumThreads()
    seen, done = [], []

    def work(shard, advance):
        seen.append((shard, torch.get_num_threads(), cv2.getNumThreads()))
        advance(1)
        return 1

    run_shards(work, [4, 5], engine="local", workers=1, advance=done.append)
    assert seen == [(4, 1, 1), (5, 1, 1)]
    assert done == [1, 1]
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before


def test_ray_missing_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r'pip install "ray\[data\]"'):
        run_shards(None, [0], engine="ray", workers=1, advance=print)
    with pytest.raises(ValueError, match="--workers is 0"):
        run_shards(None, [0], engine="local", workers=0, advance=print)
