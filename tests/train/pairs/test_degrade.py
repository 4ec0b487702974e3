import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load

from gvr_core.degradations.config import FlowDegradation, SDEditDegradation, SyntheticDegradation
from train.data.pair_groups import PairGroups
from train.fit_config import load_fit_config
from train.pairs.degrade import DegradeShard, cached_wan, degrade_sample, plan_degrade
from train.pairs.engines import one_thread
from train.pairs.lossless_video import read_lossless
from train.pairs.reading import PairShards, StageSamples
from train.pairs.sdedit_diffusers import degrade_to_frames, degrade_to_latent


def by_key(stage, command):
    samples = StageSamples(stage.folder, command)
    return {row["key"]: (row, members) for row, members in (samples[k] for k in range(len(samples)))}


def frames_of(data):
    return np.stack(list(read_lossless(data)))


@pytest.fixture
def stages(make_config, prepare, degrade):
    config = make_config()
    return prepare(config), degrade(config)


def test_every_sample_has_every_variant_at_half_size(stages):
    clean, low = by_key(stages[0], "prepare"), by_key(stages[1], "degrade")
    assert set(clean) == set(low)
    for key, (row, members) in low.items():
        small = np.stack(
            [cv2.resize(f, (48, 32), interpolation=cv2.INTER_AREA) for f in frames_of(clean[key][1]["mp4"])]
        )
        variants = {name: frames_of(members[f"{name}.mp4"]) for name in row["variants"]}
        assert all(video.shape == small.shape for video in variants.values())
        assert np.array_equal(variants["plain"], small)
        if row["clip"] == "still.mp4":
            assert np.array_equal(variants["flow"], small)
            assert row["motion"] == 0
        if row["clip"] == "a.mp4":
            assert row["motion"] > 0.5
            assert not np.array_equal(variants["flow"], small)
            assert not np.array_equal(variants["both"], variants["synthetic"])


def test_the_sheets_are_in_the_report(stages):
    page = stages[1].report.read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 4  # one for each clip
    assert "of the picture moves" in page


def test_the_first_frame_is_degraded_like_the_others():
    texture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    texture = cv2.resize(texture, (320, 200), interpolation=cv2.INTER_CUBIC)
    frames = [texture[k : k + 128, 4 * k : 4 * k + 192] for k in range(5)]
    out = degrade_sample(frames, "flow", FlowDegradation(), SyntheticDegradation(), seed=0, key="k")
    change = [float(np.abs(a.astype(int) - b).mean()) for (a, _), b in zip(out, frames, strict=True)]
    assert change[0] > 0.5 * np.mean(change[1:])


def test_the_draw_depends_on_seed_key_and_variant():
    frames = list(np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8))

    def run(**changes):
        values = {"seed": 0, "key": "k", "variant": "synthetic", **changes}
        out = degrade_sample(frames, values.pop("variant"), FlowDegradation(), SyntheticDegradation(), **values)
        return np.stack([frame for frame, _ in out])

    assert np.array_equal(run(), run())
    assert not np.array_equal(run(), run(seed=1))
    assert not np.array_equal(run(), run(key="other"))


def test_variants_of_a_sample_are_drawn_apart():
    """Flow changes nothing in a still clip, so "both" and "synthetic" can differ there by their draws alone."""
    frames = [np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)] * 5

    def run(variant):
        out = degrade_sample(frames, variant, FlowDegradation(), SyntheticDegradation(), seed=0, key="k")
        return np.stack([frame for frame, _ in out])

    assert np.array_equal(run("flow"), np.stack(frames))
    assert np.array_equal(run("both"), run("both"))
    assert not np.array_equal(run("both"), run("synthetic"))


@pytest.fixture
def make_sdedit(make_config, wan_folder):
    """Function: a config with the variants flow and sdedit."""

    def make(name="out", *overrides, model=wan_folder):
        variants = ("degrade.variants=[flow, sdedit]", f"degrade.model={model}", "degrade.sdedit.steps=1")
        return make_config(name, "cut.lengths=[5]", "encode.device=cpu", *variants, *overrides)

    return make


def test_sdedit_goes_through_the_whole_pipeline(make_sdedit, prepare, degrade, encode, files):
    config = make_sdedit()
    clean = by_key(prepare(config), "prepare")
    cached_wan.cache_clear()
    stage = degrade(config)
    assert cached_wan.cache_info().misses == 1
    wan = cached_wan(config.degrade.model, device="cpu")
    parts = SDEditDegradation(steps=1), SyntheticDegradation(restore_size=True)
    for key, (row, members) in by_key(stage, "degrade").items():
        flow, sdedit = (frames_of(members[f"{name}.mp4"]) for name in ("flow", "sdedit"))
        assert row["variants"] == ["flow", "sdedit"]
        assert sdedit.shape == flow.shape == (5, 32, 48, 3)
        small = [cv2.resize(f, (48, 32), interpolation=cv2.INTER_AREA) for f in frames_of(clean[key][1]["mp4"])]
        model = wan.model(row["caption"], cfg=5)
        with one_thread():
            expected = list(degrade_to_frames(small, wan, *parts, model, seed=0, clip_id=f"{key}#sdedit"))
        assert np.array_equal(sdedit, expected)
    assert all(row["variants"] == ["flow", "sdedit"] for row, _ in by_key(encode(config), "encode").values())
    prepare(make_sdedit("two"))
    assert files(degrade(make_sdedit("two"), workers=2).folder) == files(stage.folder)


@pytest.fixture
def make_latents(make_config, wan_folder):
    """Function: a config with the variants of S, at a size that the transformer must pad: 44 x 28 of 88 x 56 pixels."""

    def make(name="out", *overrides):
        variants = ("degrade.variants=[flow, sdedit_latent]", "degrade.sdedit.steps=1", "cut.buckets=[[88, 56]]")
        model = (f"degrade.model={wan_folder}", f"encode.vae={wan_folder / 'vae'}", f"encode.text={wan_folder}")
        values = ("cut.lengths=[5]", "encode.device=cpu", "encode.dtype=float32")
        return make_config(name, *values, *variants, *model, *overrides)

    return make


def test_the_latent_of_sdedit_is_stored_and_taken_over_untouched(make_latents, prepare, degrade, encode, files):
    """S 4.2.2: what the model made goes into training as it is, neither decoded nor degraded any further."""
    config = make_latents()
    clean = by_key(prepare(config), "prepare")
    stage = degrade(config)
    assert stage.report.read_text(encoding="utf-8").count("data:image/jpeg") == 4
    wan = cached_wan(config.degrade.model, device="cpu")
    expected = {}
    for key, (row, members) in by_key(stage, "degrade").items():
        assert set(members) == {"json", "flow.mp4", "sdedit_latent.safetensors"}
        small = [cv2.resize(f, (44, 28), interpolation=cv2.INTER_AREA) for f in frames_of(clean[key][1]["mp4"])]
        model = wan.model(row["caption"], cfg=5)
        with one_thread():
            latent = degrade_to_latent(
                small, wan, SDEditDegradation(steps=1), model, seed=0, clip_id=f"{key}#sdedit_latent"
            )
        assert latent.shape == (16, 2, 4, 6)  # 48 x 32 pixels, as many cells as 44 x 28 need anyway
        expected[key] = latent
        assert torch.equal(load(members["sdedit_latent.safetensors"])["sdedit_latent"], latent)
    encoded = encode(config)
    for key, (row, members) in by_key(encoded, "encode").items():
        latents = load(members["latent.safetensors"])
        assert set(latents) == {"clean", "flow", "sdedit_latent"}
        assert torch.equal(latents["sdedit_latent"], expected[key])
        assert latents["flow"].shape == latents["sdedit_latent"].shape
        assert row["latent_shape"] == [16, 2, 8, 12]
    prepare(make_latents("two"))
    assert files(degrade(make_latents("two"), workers=2).folder) == files(stage.folder)


def test_stage_2_of_simplegvr_trains_on_the_latents_of_sdedit(make_latents, prepare, degrade, encode):
    """Its own preset reads them; the model alone is a tiny one."""
    config = make_latents()
    prepare(config)
    degrade(config)
    pairs = PairShards(encode(config).folder)
    tasks = [f"data.root={pairs.samples.folder}", "data.frames=5", "batch=1", "micro_batch=1", "workers=0"]
    stage2 = load_fit_config("simplegvr_stage2", tasks)
    groups = PairGroups(stage2, pairs, route="latent", held_out=False)
    stored = {
        name: [pairs[k]["degraded"] for k in range(len(pairs)) if pairs[k]["variant"] == name]
        for name in ("flow", "sdedit_latent")
    }
    seen = set()
    for g in range(20):
        batch = groups[g]
        assert batch["clean"].shape == (1, 16, 2, 8, 12)
        assert batch["text"].shape == (1, 512, 24)
        seen |= {n for n, all_of_it in stored.items() if any(torch.equal(batch["low"][0], low) for low in all_of_it)}
    assert seen == {"flow", "sdedit_latent"}


def test_a_latent_without_a_grid_of_its_own_is_cut_to_the_pairs(make_latents, prepare, degrade):
    """56 x 36 pixels are 7 x 5 cells, the transformer works on 8 x 6."""
    config = make_latents("out", "cut.buckets=[[80, 56]]", "degrade.variants=[sdedit_latent]")
    prepare(config)
    rows = by_key(degrade(config), "degrade").values()
    assert {tuple(load(m["sdedit_latent.safetensors"])["sdedit_latent"].shape) for _, m in rows} == {(16, 2, 4, 5)}


def test_latents_of_another_autoencoder_are_refused(make_latents, prepare, degrade, encode):
    config = make_latents()
    prepare(config)
    degrade(config)
    with pytest.raises(ValueError, match=r"sdedit_latent as latents of .*encode\.vae=nano is another"):
        encode(make_latents("out", "encode.vae=nano"))
    with pytest.raises(ValueError, match=r"encode\.enlarged needs pixels, the variant sdedit_latent has none"):
        encode(make_latents("out", "degrade.variants=[flow]", "encode.enlarged=true"))


def test_another_model_is_refused(make_sdedit, prepare, wan_folder, tmp_path):
    model = shutil.copytree(wan_folder, tmp_path / "wan")
    config = make_sdedit(model=model)
    prepare(config)
    assert plan_degrade(config)[0].settings["degrade"]["model"]["name"] == "wan"
    values = json.loads((model / "transformer" / "config.json").read_text())
    (model / "transformer" / "config.json").write_text(json.dumps({**values, "eps": 0.1}))
    with pytest.raises(ValueError, match=r"degrade\.model\.transformer was "):
        plan_degrade(config)
    shutil.rmtree(model / "vae")
    with pytest.raises(ValueError, match="has no folder vae: give a Wan text-to-video model"):
        plan_degrade(config)
    with pytest.raises(ValueError, match="no model in diffusers' layout"):
        plan_degrade(make_sdedit(model=tmp_path / "none"))


def test_the_gpu_is_for_sdedit_alone(make_config, make_sdedit):
    def uses_gpu(config):
        return DegradeShard(config, None, None).uses_gpu

    assert not uses_gpu(make_config())
    assert uses_gpu(make_sdedit("out", "encode.device=auto"))
    assert uses_gpu(make_sdedit("out", "encode.device=auto", "degrade.variants=[sdedit_latent]"))
    assert not uses_gpu(make_sdedit())


def test_prepare_comes_first(make_config, degrade):
    with pytest.raises(ValueError, match="run `python -m train prepare` first"):
        degrade(make_config())


def test_another_setting_is_refused(make_config, prepare, degrade):
    prepare(make_config())
    degrade(make_config())
    with pytest.raises(ValueError, match=r"degrade\.flow\.strength was 0\.\d+ and is 0\.31 now"):
        degrade(make_config("out", "degrade.flow.strength=0.31"))
