from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gvr_core.flow import compute_dtype, denoised, interpolate, velocity

sigmas = st.floats(0, 1)
seeds = st.integers(0, 1000)


def pair(seed: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    clean, noise = torch.randn(2, 3, 4, 2, 3, 3, generator=generator)
    return clean.to(dtype), noise.to(dtype)


@given(seed=seeds, sigma=sigmas)
@settings(deadline=None, max_examples=50)
def test_interpolate_agrees_with_the_formula_in_numpy(seed: int, sigma: float) -> None:
    clean, noise = pair(seed)
    expected = (1 - sigma) * clean.numpy().astype(np.float64) + sigma * noise.numpy().astype(np.float64)
    np.testing.assert_allclose(interpolate(clean, noise, sigma).numpy(), expected, rtol=1e-5, atol=1e-6)


@given(seed=seeds, sigma=sigmas)
@settings(deadline=None, max_examples=50)
def test_denoised_undoes_interpolate_and_the_other_end_is_the_noise(seed: int, sigma: float) -> None:
    clean, noise = pair(seed, torch.float64)
    x = interpolate(clean, noise, sigma)
    v = velocity(noise, clean)
    torch.testing.assert_close(denoised(x, v, sigma), clean)
    torch.testing.assert_close(x + (1 - sigma) * v, noise)


def test_ends_are_exact() -> None:
    clean, noise = pair(0)
    assert torch.equal(interpolate(clean, noise, 0.0), clean)
    assert torch.equal(interpolate(clean, noise, 1.0), noise)
    assert torch.equal(denoised(clean, noise, 0.0), clean)


def test_velocity_is_the_derivative_of_the_path() -> None:
    clean, noise = pair(1, torch.float64)
    # The path is straight, so a difference quotient of any width is its derivative.
    derivative = (interpolate(clean, noise, 0.9) - interpolate(clean, noise, 0.2)) / 0.7
    torch.testing.assert_close(derivative, velocity(noise, clean))


def test_one_sigma_per_sample_equals_each_sample_alone() -> None:
    clean, noise = pair(2)
    levels = torch.tensor([0.0, 0.3, 1.0])
    together = interpolate(clean, noise, levels)
    estimates = denoised(together, velocity(noise, clean), levels)
    for i, level in enumerate(levels.tolist()):
        torch.testing.assert_close(together[i], interpolate(clean[i], noise[i], level))
        torch.testing.assert_close(estimates[i], clean[i], atol=1e-6, rtol=1e-5)


def test_half_precision_is_rounded_once() -> None:
    clean, noise = pair(3, torch.bfloat16)
    x = interpolate(clean, noise, 0.3)
    assert x.dtype == torch.bfloat16
    assert torch.equal(x, interpolate(clean.float(), noise.float(), 0.3).to(torch.bfloat16))
    assert torch.equal(velocity(noise, clean), (noise.float() - clean.float()).to(torch.bfloat16))


def test_compute_dtype() -> None:
    half, double = torch.zeros(1, dtype=torch.float16), torch.zeros(1, dtype=torch.float64)
    assert compute_dtype(half) == compute_dtype(half, half) == torch.float32
    assert compute_dtype(half, double) == torch.float64


def test_shapes_that_do_not_belong_together_are_errors() -> None:
    clean, noise = pair(4)
    for call in (
        lambda: interpolate(clean, noise[:1], 0.5),
        lambda: velocity(noise[:1], clean),
        lambda: denoised(clean, noise[:, :1], 0.5),
    ):
        with pytest.raises(ValueError, match="expected the same"):
            call()
    for sigma in (torch.zeros(2), torch.zeros(3, 1)):
        with pytest.raises(ValueError, match=r"sigma has shape .*expected \(\) or \(3,\)"):
            interpolate(clean, noise, sigma)
