"""From clips to a loss: shards made by the commands train the upsampler and the cascade."""

import pytest
import torch

from train.fit_config import load_fit_config
from train.pairs import PairShards
from train.plan import plan_group
from train.tasks import make_task


@pytest.fixture
def encoded(make_config, prepare, degrade, encode):
    config = make_config(
        "out", "cut.lengths=[5]", "cut.reference_video=true", "degrade.variants=[plain]", "encode.references=2"
    )
    prepare(config)
    degrade(config)
    return encode(config).folder


def fit_config(encoded, *overrides):
    pairs = ("data.source=pairs", f"data.root={encoded}", "data.frames=0", "data.crop=32", "objective.vae=")
    return load_fit_config("tiny", [*pairs, *overrides])


def test_the_upsampler_starts_better_than_bilinear_and_learns(encoded):
    sizes = "model={hidden: 8, low_blocks: 1, high_blocks: 1}"
    objective = "objective={vae: '', latent: 1.0, squared: 0.0, edges: 0.0, sharpen: 0.0}"
    task = make_task(fit_config(encoded, "task=upsampler", "data.tasks={t2v: 1}", sizes, objective))
    batch = task.groups()[1000]
    _, before = task.loss(batch)
    assert before["of_bilinear"] == pytest.approx(1.0, rel=1e-5)
    task.start()
    loss, after = task.loss(batch)
    assert after["of_bilinear"] < 0.8
    loss.backward()
    assert task.model.conv_out.weight.grad.abs().max() > 0
    assert len(task.statistics()["residual_std"]) == 48


def test_the_cascade_gets_a_loss_with_every_kind_of_reference(encoded):
    task = make_task(fit_config(encoded))
    groups, plans = task.groups(), [plan_group(0, g, task.config.data) for g in range(100)]
    wanted = {
        next(g for g, p in enumerate(plans) if p.task == name and p.dropped == dropped)
        for name, dropped in (("t2v", False), ("multi_id", False), ("edit", False), ("edit", True))
    }
    for g in wanted:
        batch = groups[g]
        loss, figures = task.loss(batch)
        assert torch.isfinite(loss)
        assert ("references" in batch) == plans[g].has_references
        assert figures["references"] == batch.get("num_images", 0) + batch.get("video_frames", 0)


def test_shards_are_sorted_once(encoded):
    pairs = PairShards(encoded)
    task = make_task(fit_config(encoded))
    assert sum(len(n) for n in task.groups().buckets["t2v"].values()) == len(pairs.table)
