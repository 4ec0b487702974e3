"""The upsampler's training target: unsharp masking against its formula."""

import math

import pytest
import torch

from train.tasks.upsampler import halve, sharpen


def wave(cycles_per_pixel):
    x = torch.cos(2 * math.pi * cycles_per_pixel * torch.arange(64.0))
    return 0.4 * x.expand(1, 3, 2, 32, 64)


def test_no_amount_and_flat_colour_change_nothing():
    video = torch.rand(1, 3, 2, 8, 8) * 2 - 1
    torch.testing.assert_close(sharpen(video, 0.0), video)
    flat = torch.full((1, 3, 2, 8, 8), 0.3)
    torch.testing.assert_close(sharpen(flat, 0.7), flat)


@pytest.mark.parametrize("frequency", [1 / 16, 1 / 8, 1 / 4])
def test_a_wave_grows_by_what_the_binomial_blur_takes_from_it(frequency):
    video = wave(frequency)
    response = ((1 + math.cos(2 * math.pi * frequency)) / 2) ** 2  # of the taps 1 4 6 4 1
    expected = (1 + 0.3 * (1 - response)) * video
    torch.testing.assert_close(sharpen(video, 0.3)[..., 4:-4], expected[..., 4:-4], rtol=0, atol=1e-5)


def test_the_result_stays_in_range():
    assert sharpen(torch.sign(torch.randn(1, 3, 1, 16, 16)), 0.5).abs().max() <= 1


def test_halving_is_the_mean_of_four_pixels():
    video = torch.rand(1, 3, 2, 4, 6)
    expected = sum(video[..., y::2, x::2] for y in (0, 1) for x in (0, 1)) / 4
    torch.testing.assert_close(halve(video), expected)
