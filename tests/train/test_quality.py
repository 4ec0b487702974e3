"""The embedded Nano on the quality protocol, where its validation clips are at hand; the model card has the table."""

from pathlib import Path

import pytest

from gvr_core.cascade import Cascade, nano_path
from train.evaluation.protocol import CASCADE, DECODE_BICUBIC, UPSAMPLER, evaluate

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "data" / "train"
NAMES = (
    "sam2__05_default_juggle.mp4",
    "shared-assets__flower.mp4",
    "Video-Depth-Anythi__davis_rollercoaster.mp4",
    "TurboDiffusion__teacher_2.mp4",
)


@pytest.fixture(scope="module")
def mean():
    """Function: a figure of a row of the table, averaged over the clips."""
    paths = [CLIPS / name for name in NAMES]
    if not all(path.is_file() for path in paths):
        pytest.skip(f"NOT CHECKED: Nano's quality, the validation clips are not in {CLIPS}")
    table = evaluate(Cascade.nano(), paths)
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
