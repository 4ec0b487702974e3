from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gvr_core import flow
from gvr_core.models.preconditioning import precondition

STD = (0.3, 0.8)
SIGMAS = st.floats(0.02, 1.0)
TAUS = st.floats(0.0, 0.9)


def latents(count: int, seed: int = 0, shape: tuple[int, ...] = (2, 1, 2, 2)) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(count, 3, *shape, generator=generator, dtype=torch.float64).unbind())


@given(tau=TAUS)
@settings(max_examples=10, deadline=None)
def test_at_pure_noise_the_untrained_model_returns_the_anchor(tau):
    noise, condition = latents(2)
    terms = precondition(noise, condition, sigma=1.0, noise_level=tau, residual_std=STD)
    clean = flow.denoised(noise, terms.velocity(torch.zeros_like(noise)), 1.0)
    torch.testing.assert_close(clean, condition / (1 - tau))


@given(sigma=SIGMAS, tau=TAUS)
@settings(max_examples=20, deadline=None)
def test_untrained_model_is_the_posterior_mean_by_quadrature(sigma, tau):
    x, condition = latents(2)
    terms = precondition(x, condition, sigma=sigma, noise_level=tau, residual_std=STD)
    clean = flow.denoised(x, terms.velocity(torch.zeros_like(x)), sigma)

    channel = 1
    anchor = condition[0, channel, 0, 0, 0].item() / (1 - tau)
    variance = STD[channel] ** 2 + (tau / (1 - tau)) ** 2
    # Points where the likelihood or the prior has its mass, whichever is narrower.
    width = 12 * np.sqrt(variance)
    candidates = anchor + np.linspace(-width, width, 100_001)
    log_prior = -((candidates - anchor) ** 2) / (2 * variance)
    log_likelihood = -((x[0, channel, 0, 0, 0].item() - (1 - sigma) * candidates) ** 2) / (2 * sigma**2)
    weights = np.exp(log_prior + log_likelihood - (log_prior + log_likelihood).max())
    expected = (weights * candidates).sum() / weights.sum()
    assert clean[0, channel, 0, 0, 0].item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("tau", [0.0, 0.4])
def test_input_and_target_have_unit_variance_and_are_uncorrelated(sigma, tau):
    generator = torch.Generator().manual_seed(1)
    clean_condition, residual, noise, augmentation = torch.randn(4, 1, 2, 1, 400, 400, generator=generator).unbind()
    clean = clean_condition + residual * torch.tensor(STD).reshape(1, 2, 1, 1, 1)
    condition = flow.interpolate(clean_condition, augmentation, tau)
    x = flow.interpolate(clean, noise, sigma)
    terms = precondition(x, condition, sigma=sigma, noise_level=tau, residual_std=STD)
    target, given_residual = terms.target(clean), terms.network_input[:, :2]
    for value in (target, given_residual):
        torch.testing.assert_close(value.std(dim=(0, 2, 3, 4)), torch.ones(2), rtol=0.01, atol=0)
    assert (target * given_residual).mean().abs() < 0.01


@given(sigma=SIGMAS, tau=TAUS)
@settings(max_examples=20, deadline=None)
def test_target_makes_the_velocity_exact_and_weight_turns_its_error_into_the_targets(sigma, tau):
    clean, noise, condition, error = latents(4)
    x = flow.interpolate(clean, noise, sigma)
    terms = precondition(x, condition, sigma=sigma, noise_level=tau, residual_std=STD)
    target = terms.target(clean)
    velocity = flow.velocity(noise, clean)
    torch.testing.assert_close(terms.velocity(target), velocity, rtol=1e-6, atol=1e-6)
    wrong = terms.velocity(target + error) - velocity
    torch.testing.assert_close(terms.loss_weight * wrong**2, error**2, rtol=1e-5, atol=1e-6)


def test_velocity_is_finite_and_continuous_at_no_noise():
    x, condition, output = latents(3)
    terms, near = (
        precondition(x, condition, sigma=sigma, noise_level=0.3, residual_std=STD).velocity(output)
        for sigma in (0.0, 1e-9)
    )
    assert torch.isfinite(terms).all()
    torch.testing.assert_close(terms, -x - output, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(terms, near, rtol=1e-6, atol=1e-6)


def test_levels_per_sample_equal_samples_alone():
    x, condition, output = latents(3)
    sigma, tau = torch.tensor([0.1, 0.6, 1.0]).double(), torch.tensor([0.0, 0.3, 0.6]).double()
    together = precondition(x, condition, sigma=sigma, noise_level=tau, residual_std=STD).velocity(output)
    for i in range(3):
        alone = precondition(
            x[i : i + 1], condition[i : i + 1], sigma=sigma[i], noise_level=tau[i].item(), residual_std=STD
        )
        torch.testing.assert_close(together[i : i + 1], alone.velocity(output[i : i + 1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise_level": 1.0}, r"noise level is 1, expected 0 <= level < 1"),
        ({"noise_level": torch.tensor([0.2, -0.5, 0.0])}, r"noise level is -0.5"),
        ({"noise_level": torch.tensor([0.2, 0.5])}, r"noise level has shape \(2,\) for 3 samples"),
        ({"sigma": torch.zeros(3, 1)}, r"sigma has shape \(3, 1\) for 3 samples"),
        ({"residual_std": (0.5,)}, r"1 numbers for 2 latent channels"),
        ({"condition": torch.zeros(3, 2, 1, 2, 1)}, r"condition has shape \(3, 2, 1, 2, 1\)"),
    ],
)
def test_wrong_inputs_are_refused(change, message):
    x, condition = latents(2)
    arguments = {"condition": condition, "sigma": 0.5, "noise_level": 0.3, "residual_std": STD} | change
    with pytest.raises(ValueError, match=message):
        precondition(x, **arguments)
