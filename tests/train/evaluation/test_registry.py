"""Names, groups and numbers in names; and that a name leads to the right computation."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from train.evaluation.metric import Column, Metric, Missing, Sample, measure_all, spread
from train.evaluation.registry import GROUPS, Tools, resolve_metrics
from train.evaluation.seams import jump, seam

RANDOM = np.random.default_rng(0)
ORIGINAL = RANDOM.integers(0, 256, (6, 40, 56, 3), dtype=np.uint8)
CLIP = np.clip(ORIGINAL + RANDOM.normal(0, 12, ORIGINAL.shape), 0, 255).astype(np.uint8)


def measured(*names, sample=None):
    metrics, _ = resolve_metrics(names, Tools())
    return measure_all(sample or Sample(clip=CLIP, original=ORIGINAL), metrics)


def test_psnr_and_ssim_agree_with_scikit_image():
    figures = measured("psnr", "ssim")
    assert figures["psnr"] == pytest.approx(peak_signal_noise_ratio(ORIGINAL, CLIP), abs=1e-6)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = [
        structural_similarity(x, y, channel_axis=2, full=True, **settings)[1][5:-5, 5:-5].mean()
        for x, y in zip(CLIP, ORIGINAL, strict=True)
    ]
    assert figures["ssim"] == pytest.approx(np.mean(expected), abs=1e-4)


def test_energy_and_flicker_by_formula():
    figures = measured("energy", "flicker", "raw_energy", "raw_flicker")
    luma = [clip / 255 @ [0.2126, 0.7152, 0.0722] for clip in (CLIP, ORIGINAL)]
    energy = [
        np.mean((y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:] - 4 * y[:, 1:-1, 1:-1]) ** 2)
        for y in luma
    ]
    flicker = [np.abs(y[2:] - 2 * y[1:-1] + y[:-2]).mean() for y in luma]
    assert figures["energy"] == pytest.approx(energy[0] / energy[1])
    assert figures["flicker"] == pytest.approx(flicker[0] / flicker[1])
    assert figures["raw_energy"] == pytest.approx(1000 * energy[0])
    assert figures["raw_flicker"] == pytest.approx(1000 * flicker[0])


def test_numbers_in_names():
    figures = measured("seam:8", "seam:12x10", "seam:16/8", "jump:4+1")
    assert figures == {
        "seam:8": seam(CLIP, 8, 8),
        "seam:12x10": seam(CLIP, 12, 10),
        "seam:16/8": seam(CLIP, 16, 16, base=8),
        "jump:4+1": jump(CLIP, every=4, first=1),
    }


def test_groups_hold_each_name_once():
    metrics, externals = resolve_metrics(["psnr", "all", "own"], Tools())
    names = [metric.column.name for metric in metrics]
    assert len(set(names)) == len(names)
    assert names[:2] == ["psnr", "ssim"]
    assert [external.name for external in externals] == ["dover", "vbench"]
    assert {*names, "dover", "vbench"} == set(GROUPS["all"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("psrn", "did you mean psnr"),
        ("", "unknown metric ''"),
        ("seam:", "unknown metric 'seam:'"),
        ("seam:3", "expected at least 4x4"),
        ("seam:128/24", "a smaller one that divides 128x128"),
        ("seam:16/16", "a smaller one"),
        ("seam:16/0", "a smaller one"),
        ("jump:2+1", "expected at least 3 and 1"),
        ("jump:4+0", "expected at least 3 and 1"),
    ],
)
def test_wrong_names_are_errors(name, message):
    with pytest.raises(ValueError, match=message):
        resolve_metrics([name], Tools())


def test_without_an_original_only_some_are_numbers():
    figures = measured("own", sample=Sample(clip=CLIP))
    without = {name for name, figure in figures.items() if isinstance(figure, Missing)}
    assert without == {"psnr", "ssim", "energy", "flicker", "colour", "drift", "seam:128/16", "jump:4+1"}
    assert "there is no original" in figures["psnr"].reason


def test_other_sizes_and_lengths_are_not_compared():
    figure = measured("psnr", sample=Sample(clip=CLIP[:5], original=ORIGINAL))["psnr"]
    assert figure.reason.startswith("the clip is 56x40 with 5 frames, its original 56x40 with 6")


def test_a_flat_original_has_no_share():
    flat = np.full_like(CLIP, 90)
    assert "no share" in measured("energy", sample=Sample(clip=CLIP, original=flat))["energy"].reason


def test_what_is_not_a_number_is_missing():
    column = Column(name="x", title="x", better="higher", digits=1, about="")
    figures = measure_all(Sample(clip=CLIP), [Metric(column, lambda sample: float("nan"))])
    assert "NaN" in figures["x"].reason


def test_frames_are_spread_from_first_to_last():
    assert spread(np.zeros(17), 5).tolist() == [0, 4, 8, 12, 16]
    assert spread(np.zeros(3), 10).tolist() == [0, 1, 2]
    assert spread(np.zeros(3), 0).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="picture frames are -1"):
        Tools(picture_frames=-1)
