"""The embedded Nano on the quality protocol, where its validation clips are at hand; the model card has the table."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from torch.nn import functional

from gvr_core.cascade import Cascade, denoise, nano_path, upsample
from gvr_core.coding import encode_frames
from gvr_core.geometry import plan_upscale
from gvr_core.models.upsampler import bilinear
from train.evaluation.protocol import CASCADE, DECODE_BICUBIC, UPSAMPLER, WITH_REFERENCES, evaluate, protocol_clip

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "data" / "train"
NAMES = (
    "sam2__05_default_juggle.mp4",
    "shared-assets__flower.mp4",
    "Video-Depth-Anythi__davis_rollercoaster.mp4",
    "TurboDiffusion__teacher_2.mp4",
)


@pytest.fixture(scope="module")
def paths():
    paths = [CLIPS / name for name in NAMES]
    if not all(path.is_file() for path in paths):
        pytest.skip(f"NOT CHECKED: Nano's quality, the validation clips are not in {CLIPS}")
    return paths


@pytest.fixture(scope="module")
def table(paths):
    """The protocol's table; the middle frame of the original is the reference picture of the last row."""
    return evaluate(Cascade.nano(), paths, reference_frame=8)


@pytest.fixture(scope="module")
def mean(table):
    """Function: a figure of a row of the table, averaged over the clips."""
    return lambda row, figure: table.mean(row)[figure]


def test_the_weights_are_small_enough_for_the_repository():
    assert nano_path().stat().st_size <= 80e6


def test_the_autoencoder_passes_32_db(mean):
    assert mean("VAE reconstruction of the original", "psnr") >= 32


def test_the_upsampler_beats_bilinear_and_is_sharper_than_bicubic(mean):
    assert mean(UPSAMPLER, "psnr") >= mean("bilinear in latent, decoded", "psnr") + 5
    assert mean(UPSAMPLER, "psnr") >= mean(DECODE_BICUBIC, "psnr") - 0.3
    assert mean(UPSAMPLER, "energy") >= 1.5 * mean(DECODE_BICUBIC, "energy")


def test_the_cascade_has_the_sharpness_of_the_autoencoder_and_stays_faithful(mean):
    share = mean(CASCADE, "energy") / mean("VAE reconstruction of the original", "energy")
    assert 0.6 <= share <= 1.8
    assert mean(CASCADE, "psnr") >= mean(UPSAMPLER, "psnr") - 3.5
    assert abs(mean("one evaluation (denoised)", "psnr") - mean(UPSAMPLER, "psnr")) <= 0.5


def test_a_picture_of_the_scene_brings_every_clip_nearer_to_the_truth(table):
    """U 3.2: a true frame as the only reference picture, everything else equal."""
    gains = [
        table.rows[WITH_REFERENCES][clip]["psnr"] - table.rows[CASCADE][clip]["psnr"] for clip in table.rows[CASCADE]
    ]
    assert min(gains) > 0
    assert sum(gains) / len(gains) >= 0.2


def test_every_clips_latent_is_nearer_to_the_truth_than_bilinear(paths):
    cascade = Cascade.nano()
    plan = plan_upscale(cascade.space, 128, 128, scale=2.0)
    for path in paths:
        original = protocol_clip(path)
        low = np.stack([cv2.resize(frame, (128, 128), interpolation=cv2.INTER_AREA) for frame in original])
        clean, condition = (encode_frames(cascade.vae, [clip], cascade.space, "cpu")[0] for clip in (original, low))
        upsampled = upsample(condition, plan, upsampler=cascade.upsampler)
        result = denoise(cascade.dit, upsampled, cascade.settings(seed=0))
        plain = bilinear(condition, scale=2.0, height=plan.latent_height, width=plan.latent_width)
        assert functional.mse_loss(result, clean) < functional.mse_loss(plain, clean), path.name
