"""The papers' stages as presets: every number of S 5.1.4 and U 3.4, 4.1.1, and a model that can be built of each."""

from itertools import pairwise

import pytest
import torch

from gvr_core.models.dit import DiT
from gvr_core.models.upsampler import LatentUpsampler, UpsamplerConfig
from train.config import build
from train.fit_config import load_fit_config
from train.model_sizes import dit_config
from train.pairs.config import load_pairs_config
from train.pairs.degrade import degradations
from train.tasks.cascade_config import CascadeObjective
from train.tasks.upsampler import UpsamplerObjective

# steps, frames, variants of pairs, sampler of timesteps, temporal unit
S_STAGES = {
    "simplegvr_stage1": (20_000, 17, {"synthetic"}, "uniform", 0),
    "simplegvr_stage2": (5_000, 17, {"flow", "sdedit_latent"}, "table", 0),
    "simplegvr_stage3": (5_000, 77, {"synthetic", "flow", "sdedit_latent"}, "table", 5),
}
U_PHASES = {
    "unimmvsr_phasea": (21, {"t2v": 1.0}),
    "unimmvsr_phaseb": (21, {"t2v": 0.6, "multi_id": 0.4}),
    "unimmvsr_phasec": (21, {"t2v": 0.5, "multi_id": 0.3, "edit": 0.2}),
    "unimmvsr_phased": (77, {"t2v": 0.5, "multi_id": 0.3, "edit": 0.2}),
}


def model_of(config):
    """The parts, without memory."""
    values = dict(config.model)
    upsampler = values.pop("upsampler", None)
    with torch.device("meta"):
        dit = DiT(dit_config(values))
        if upsampler is not None:
            upsampler = LatentUpsampler(build(UpsamplerConfig, {"space": dit.config.space, **upsampler}))
    return dit, upsampler


@pytest.mark.parametrize("preset", S_STAGES)
def test_simplegvr_has_the_papers_numbers(preset):
    steps, frames, variants, sampler, unit = S_STAGES[preset]
    config = load_fit_config(preset, [])
    objective = build(CascadeObjective, config.objective, "objective.")
    assert (config.steps, config.batch, config.optim.learning_rate) == (steps, 32, 5e-5)
    assert (config.data.frames, set(config.data.variants)) == (frames, variants)
    assert (objective.noise_aug, objective.drop_text, objective.route) == ((0.3, 0.6), 0.1, "latent")
    assert objective.timesteps.sampler == sampler
    assert config.trainable == "all"
    dit, upsampler = model_of(config)
    assert upsampler is not None
    attention = dit.config.attention
    assert attention.unit == unit
    if unit:
        assert (attention.kind, attention.window, attention.top_k, attention.unit_shift) == (
            "sparse_local",
            (9, 12),
            1,
            2,
        )
    assert sum(p.numel() for p in dit.parameters()) == pytest.approx(1.42e9, rel=0.01)


@pytest.mark.parametrize("preset", U_PHASES)
def test_unimmvsr_has_the_papers_numbers(preset):
    frames, tasks = U_PHASES[preset]
    config = load_fit_config(preset, [])
    objective = build(CascadeObjective, config.objective, "objective.")
    assert (config.batch, config.optim.learning_rate) == (32, 1e-4)
    assert (config.data.frames, config.data.tasks) == (frames, tasks)
    assert (objective.noise_aug, objective.drop_text, objective.route) == ((0.2, 0.6), 0.1, "pixel")
    dit, upsampler = model_of(config)
    assert upsampler is None
    assert dit.config.noise_embedding
    ranges = dit.config.reference_ranges
    assert (ranges.image_start, ranges.video_start, ranges.max_video) == (20, 30, 20)


@pytest.mark.parametrize("stages", [list(S_STAGES), list(U_PHASES)])
def test_each_stage_begins_where_the_last_one_ended(stages):
    configs = [load_fit_config(stage, []) for stage in stages]
    assert "Wan2.1-T2V-1.3B" in configs[0].init_from
    for before, after in pairwise(configs):
        assert after.init_from == f"{before.output}.safetensors"
        shapes = [{n: p.shape for n, p in model_of(config)[0].state_dict().items()} for config in (before, after)]
        assert shapes[0] == shapes[1]


def test_pairs_hold_what_the_stages_ask_for():
    for pairs, stages in (("pairs_simplegvr", S_STAGES), ("pairs_unimmvsr", U_PHASES)):
        made = load_pairs_config(pairs, [])
        degradations(made.degrade)
        for stage in stages:
            config = load_fit_config(stage, [])
            assert config.data.frames in made.cut.lengths
            assert set(config.data.variants) <= set(made.degrade.variants)
            assert made.output.endswith(str(config.data.root).rsplit("/", 1)[0])
    assert (made.encode.enlarged, made.encode.references, made.cut.reference_video) == (True, 3, True)


def test_the_upsampler_alone_needs_no_pixels():
    config = load_fit_config("upsampler", [])
    objective = build(UpsamplerObjective, config.objective, "objective.")
    assert (objective.vae, objective.squared, objective.edges) == ("", 0, 0)
    build(UpsamplerConfig, {"space": "wan21", **config.model}, "model.")
