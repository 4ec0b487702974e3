"""Exact levels, exact numbers of evaluations, and a flow whose answer is known: that of Gaussian data."""

import math

import numpy as np
import pytest
import torch

from gvr_core.degradations.config import SDEditDegradation, SyntheticDegradation
from gvr_core.degradations.sdedit import (
    alpha_sigmas,
    degrade_latent,
    degrade_model_guided,
    draw_sigmas,
    last_sigmas,
    sdedit,
)
from gvr_core.degradations.synthetic import degrade_synthetic
from gvr_core.schedules import make_sigmas

MEAN, STD = 0.3, 0.5
LATENT = MEAN + STD * torch.randn(1, 16, 5, 16, 16, generator=torch.Generator().manual_seed(0))
KEY = {"seed": 7, "clip_id": "a"}
UNTOUCHED = SyntheticDegradation(blur_probability=0, noise_probability=0, compression="none")


class GaussianFlow:
    """The exact velocity E[noise - clean | x] for clean ~ N(MEAN, STD^2); notes what it was asked."""

    def __init__(self):
        self.asked, self.states = [], []

    def __call__(self, x, sigma, step):
        self.asked.append((step, sigma))
        self.states.append(x)
        variance = ((1 - sigma) * STD) ** 2 + sigma**2
        return (sigma - (1 - sigma) * STD**2) * (x - (1 - sigma) * MEAN) / variance - MEAN


def flowed(x, alpha):
    """Where that flow's ODE carries x from alpha to 0: the standardised state stays as it is."""
    return MEAN + STD * (x - (1 - alpha) * MEAN) / math.hypot((1 - alpha) * STD, alpha)


@pytest.mark.parametrize("shift", [0.5, 1, 3, 8])
@pytest.mark.parametrize("alpha", [0.01, 0.35, 0.4, 1])
def test_alpha_is_the_first_sigma_at_any_shift(alpha, shift):
    sigmas = alpha_sigmas(alpha, 12, shift=shift)
    assert float(sigmas[0]) == pytest.approx(alpha, abs=1e-6)
    assert len(sigmas) == 13
    assert sigmas[-1] == 0


def test_k_of_n_is_the_end_of_the_whole_schedule():
    whole = make_sigmas(50, shift=3)
    assert torch.equal(last_sigmas(whole, 15), whole[35:])
    assert torch.equal(last_sigmas(whole, 50), whole)
    # Without shift k of 50 steps start at k/50: Table 4's 5 and 15 at 0.1 and 0.3.
    assert float(last_sigmas(make_sigmas(50), 15)[0]) == pytest.approx(0.3, abs=1e-6)
    assert float(last_sigmas(make_sigmas(50), 5)[0]) == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("sigmas", [alpha_sigmas(0, 20), last_sigmas(make_sigmas(50), 0)])
def test_no_noise_is_the_identity_and_asks_nothing(sigmas):
    model = GaussianFlow()
    assert sdedit(LATENT, sigmas, model, **KEY) is LATENT
    assert model.asked == []


@pytest.mark.parametrize("solver", ["euler", "pndm"])
@pytest.mark.parametrize("sigmas", [alpha_sigmas(0.35, 9, shift=5), last_sigmas(make_sigmas(50, shift=5), 9)])
def test_the_model_is_asked_once_for_each_step_at_its_sigma(sigmas, solver):
    model = GaussianFlow()
    sdedit(LATENT, sigmas, model, solver=solver, **KEY)
    assert [step for step, _ in model.asked] == list(range(9))
    assert [sigma for _, sigma in model.asked] == pytest.approx(sigmas[:-1].tolist(), abs=1e-6)


def test_the_start_is_a_mixture_of_latent_and_noise_by_alpha():
    model = GaussianFlow()
    sdedit(LATENT, alpha_sigmas(1, 1), model, **KEY)
    sdedit(LATENT, alpha_sigmas(0.35, 1), model, **KEY)
    noise, mixed = model.states
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(noise.std()) == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(mixed, 0.65 * LATENT + 0.35 * noise)


@pytest.mark.parametrize(("solver", "tolerance"), [("euler", 1e-2), ("pndm", 1e-4)])
def test_gaussian_data_arrives_where_the_formula_says(solver, tolerance):
    model = GaussianFlow()
    result = sdedit(LATENT, alpha_sigmas(0.4, 100), model, solver=solver, **KEY)
    torch.testing.assert_close(result, flowed(model.states[0], 0.4), atol=tolerance, rtol=0)


def test_the_distance_to_the_source_grows_with_alpha():
    results = [
        sdedit(LATENT, alpha_sigmas(a, 20), GaussianFlow(), solver="pndm", **KEY) for a in np.arange(0, 1.01, 0.1)
    ]
    distances = [float((result - LATENT).square().mean().sqrt()) for result in results]
    assert distances[0] == 0
    assert distances == sorted(set(distances))
    # Nothing is left of the source at the end: two independent draws are sqrt(2) deviations apart.
    assert distances[-1] == pytest.approx(math.sqrt(2) * STD, rel=0.02)


def test_noise_follows_the_frame_in_the_clip_the_seed_and_the_clip():
    sigmas = alpha_sigmas(0.35, 4)
    whole = sdedit(LATENT, sigmas, GaussianFlow(), **KEY)
    part = sdedit(LATENT[:, :, 2:], sigmas, GaussianFlow(), first_frame=2, **KEY)
    torch.testing.assert_close(part, whole[:, :, 2:])
    assert torch.equal(whole, sdedit(LATENT, sigmas, GaussianFlow(), **KEY))
    assert not torch.equal(whole, sdedit(LATENT, sigmas, GaussianFlow(), seed=8, clip_id="a"))
    assert not torch.equal(whole, sdedit(LATENT, sigmas, GaussianFlow(), seed=7, clip_id="b"))


def test_half_precision_is_left_and_entered_once():
    model = GaussianFlow()
    result = sdedit(LATENT.bfloat16(), alpha_sigmas(0.35, 4), model, **KEY)
    assert result.dtype == torch.bfloat16
    assert {state.dtype for state in model.states} == {torch.float32}


def test_drawn_levels_fill_their_ranges_and_belong_to_the_clip():
    config = SDEditDegradation(steps=10, shift=3)
    starts = [float(draw_sigmas(config, seed=0, clip_id=str(n))[0]) for n in range(500)]
    assert 0.3 <= min(starts) < 0.303 < 0.397 < max(starts) <= 0.4
    assert np.mean(starts) == pytest.approx(0.35, abs=5 * 0.1 / math.sqrt(12 * 500))
    config = SDEditDegradation(mode="steps", k=(0, 3))
    counts = np.bincount([len(draw_sigmas(config, seed=0, clip_id=str(n))) - 1 for n in range(1000)])
    assert len(counts) == 4
    assert counts == pytest.approx(250, abs=5 * math.sqrt(1000 * 0.25 * 0.75))
    assert torch.equal(*(draw_sigmas(config, seed=3, clip_id="x") for _ in range(2)))


def test_degrade_latent_draws_and_edits():
    config = SDEditDegradation(mode="steps", k=(6, 6), steps=20, shift=2, solver="pndm")
    expected = sdedit(LATENT, make_sigmas(20, shift=2)[-7:], GaussianFlow(), solver="pndm", **KEY)
    assert torch.equal(degrade_latent(LATENT, config, GaussianFlow(), **KEY), expected)


def clip(frames=6, height=24, width=32):
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def encode(frames):
    return torch.from_numpy(np.stack(list(frames))).permute(3, 0, 1, 2)[None].double() / 127.5 - 1


def decode(latent):
    frames = ((latent[0].permute(1, 2, 3, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    return [*frames, frames[-1], frames[-1]]  # filled up, as VAEs do


def chain(frames, config, synthetic=UNTOUCHED, decode=decode):
    parts = {"encode": encode, "decode": decode, "model": GaussianFlow(), **KEY}
    return list(degrade_model_guided(iter(frames), config, synthetic, **parts))


def test_the_chain_at_alpha_0_without_synthetic_part_is_the_clip():
    result = chain(clip(), SDEditDegradation(alpha=(0, 0)))
    assert np.array_equal(result, clip())


def test_the_chain_is_encode_edit_decode_synthetic():
    config = SDEditDegradation(mode="steps", k=(5, 15))
    synthetic = SyntheticDegradation(scale=(2, 2), noise_probability=1, compression="jpeg")
    edited = decode(degrade_latent(encode(clip()), config, GaussianFlow(), **KEY))[:6]
    expected = list(degrade_synthetic(edited, synthetic, **KEY))
    result = chain(clip(), config, synthetic)
    assert np.array_equal(result, expected)
    assert result[0].shape == (12, 16, 3)


def test_mistakes_are_told():
    with pytest.raises(ValueError, match=r"alpha is 1\.2, expected a share of noise from 0 to 1"):
        alpha_sigmas(1.2, 10)
    with pytest.raises(ValueError, match="num_steps is 0"):
        alpha_sigmas(0.3, 0)
    with pytest.raises(ValueError, match="k is 51, expected 0 to 50"):
        last_sigmas(make_sigmas(50), 51)
    with pytest.raises(ValueError, match="no whole schedule"):
        last_sigmas(make_sigmas(50)[:-1], 5)
    with pytest.raises(ValueError, match="solver is 'ddim', expected one of euler, pndm"):
        sdedit(LATENT, alpha_sigmas(0.3, 3), GaussianFlow(), solver="ddim", **KEY)
    with pytest.raises(ValueError, match="k goes to 15 of 10 steps"):
        SDEditDegradation(mode="steps", steps=10)
    with pytest.raises(ValueError, match="decode gave 4 frames for a clip of 6"):
        chain(clip(), SDEditDegradation(alpha=(0, 0)), decode=lambda latent: decode(latent)[:4])
