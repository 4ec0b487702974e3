"""Casts that were put in are measured, in colours that scikit-image and the formula of L* know."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from train.evaluation.colours import colour_drift, colour_error, mean_colours
from train.evaluation.metric import Missing, Sample


def grey(lightness):
    """sRGB value of the grey with that L*, by the inverse formulas."""
    f = (lightness + 16) / 116
    y = f**3 if f > 6 / 29 else 3 * (6 / 29) ** 2 * (f - 4 / 29)
    return 12.92 * y if y <= 0.0031308 else 1.055 * y ** (1 / 2.4) - 0.055


def grey_clip(lightness, size=(8, 8)):
    return np.ones((len(lightness), *size, 3)) * np.array([grey(v) for v in lightness])[:, None, None, None]


def test_colours_agree_with_scikit_image():
    clip = np.random.default_rng(0).uniform(size=(3, 16, 16, 3))
    clip[0] /= 50  # the straight part of the curves
    assert mean_colours(clip) == pytest.approx(rgb2lab(clip).mean(axis=(1, 2)), abs=0.01)


def test_colours_of_bytes_and_of_fractions_are_the_same():
    clip = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    assert mean_colours(clip) == pytest.approx(mean_colours(clip / 255), abs=0.02)


def test_a_constant_cast_is_an_error_and_no_drift():
    original, clip = grey_clip([50] * 9), grey_clip([56] * 9)
    assert colour_error(Sample(clip=clip, original=original)) == pytest.approx(6, abs=0.02)
    assert colour_drift(Sample(clip=clip, original=original)) == pytest.approx(0, abs=1e-9)


def test_a_growing_cast_is_the_drift_put_in():
    original, clip = grey_clip([50] * 11), grey_clip(np.linspace(50, 60, 11))
    sample = Sample(clip=clip, original=original)
    assert colour_drift(sample) == pytest.approx(10, abs=0.02)
    assert colour_error(sample) == pytest.approx(5, abs=0.02)


def test_a_fade_of_the_original_is_no_drift():
    fade = grey_clip(np.linspace(20, 80, 11))
    sample = Sample(clip=fade, original=fade.copy())
    assert (colour_error(sample), colour_drift(sample)) == (0, 0)


def test_an_input_of_another_size_serves_where_there_is_no_original():
    source, clip = grey_clip([50] * 5, size=(4, 6)), grey_clip([53] * 5, size=(8, 12))
    assert colour_error(Sample(clip=clip, source=source)) == pytest.approx(3, abs=0.02)


def test_without_truth_or_time_there_is_no_number():
    clip = grey_clip([50] * 5)
    assert "neither an original nor an input" in colour_error(Sample(clip=clip)).reason
    assert "one frame" in colour_drift(Sample(clip=clip[:1], original=clip[:1])).reason
    assert "compared with 4" in colour_drift(Sample(clip=clip, original=clip[:4])).reason
    assert isinstance(colour_drift(Sample(clip=clip, original=clip, is_original=True)), Missing)
