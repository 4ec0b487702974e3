from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gvr_core.schedules import make_sigmas, shift_sigmas
from gvr_core.solvers import MAX_AMPLIFICATION, SOLVERS, Model, euler, integration_weights, pndm

MEAN, STD = 0.7, 0.4
NOISE = torch.linspace(-2, 2, 9, dtype=torch.float64)


def gaussian_velocity(x: Tensor, sigma: float, step: int = 0) -> Tensor:
    """Velocity of the marginal flow for clean ~ N(MEAN, STD^2): E[noise - clean | x], by Gaussian conditioning."""
    surprise = (x - (1 - sigma) * MEAN) / ((1 - sigma) ** 2 * STD**2 + sigma**2)
    return sigma * surprise - (MEAN + (1 - sigma) * STD**2 * surprise)


def gaussian_solution(sigma: float) -> Tensor:
    return (1 - sigma) * MEAN + math.sqrt((1 - sigma) ** 2 * STD**2 + sigma**2) * NOISE


def schedule(num_steps: int, shift: float) -> Tensor:
    """float64, so that the rounding of a float32 schedule does not hide the order."""
    return shift_sigmas(torch.linspace(1, 0, num_steps + 1, dtype=torch.float64), shift)


def error(solver, num_steps: int, shift: float, last: float = 0.0) -> float:
    sigmas = schedule(num_steps, shift) * (1 - last) + last
    return (solver(gaussian_velocity, NOISE, sigmas) - gaussian_solution(last)).abs().max().item()


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize(("solver", "order"), [(euler, 0.9), (pndm, 3.5)])
def test_global_order_by_step_doubling(solver, order: float, shift: float) -> None:
    errors = [error(solver, num_steps, shift) for num_steps in (320, 640, 1280)]
    assert math.log2(errors[0] / errors[1]) >= order
    assert math.log2(errors[1] / errors[2]) >= order


@pytest.mark.parametrize("shift", [1.0, 3.0, 8.0])
def test_pndm_beats_euler_at_50_steps(shift: float) -> None:
    assert error(pndm, 50, shift) < error(euler, 50, shift) / 5


def test_schedule_may_end_above_zero() -> None:
    assert error(pndm, 320, 1.0, last=0.3) < 1e-8


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_one_exact_step_with_the_conditional_velocity_returns_clean(solver) -> None:
    clean, noise = torch.randn(2, 1, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    solved = solver(lambda x, sigma, step: noise - clean, noise, make_sigmas(1))
    torch.testing.assert_close(solved, clean)


@given(num_steps=st.integers(1, 12), shift=st.floats(0.2, 10), name=st.sampled_from(list(SOLVERS)))
@settings(deadline=None)
def test_straight_path_is_solved_exactly_by_any_number_of_steps(num_steps: int, shift: float, name: str) -> None:
    """A single datum has the velocity (x - clean) / sigma, constant along the path."""
    clean = torch.tensor([0.25, -1.0], dtype=torch.float64)
    noise = torch.tensor([1.5, 0.5], dtype=torch.float64)
    solved = SOLVERS[name](lambda x, sigma, step: (x - clean) / sigma, noise, make_sigmas(num_steps, shift=shift))
    torch.testing.assert_close(solved, clean, atol=1e-9, rtol=0)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 5, 6, 50])
def test_exactly_one_evaluation_per_step_and_none_at_the_end(solver, num_steps: int) -> None:
    evaluated: list[tuple[float, int]] = []
    reported: list[tuple[int, int]] = []

    def model(x: Tensor, sigma: float, step: int) -> Tensor:
        evaluated.append((sigma, step))
        return gaussian_velocity(x, sigma)

    sigmas = make_sigmas(num_steps)
    solver(model, NOISE, sigmas, lambda step, total, denoised: reported.append((step, total)))
    assert evaluated == list(zip(sigmas[:-1].tolist(), range(num_steps), strict=True))
    assert reported == [(step, num_steps) for step in range(num_steps)]


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_callback_receives_the_denoised_estimate(solver) -> None:
    seen: list[Tensor] = []
    solver(gaussian_velocity, NOISE, schedule(5, 1.0), lambda step, total, denoised: seen.append(denoised))
    torch.testing.assert_close(seen[0], NOISE - gaussian_velocity(NOISE, 1.0))
    assert len(seen) == 5


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_state_is_float32_and_cast_back_once(solver) -> None:
    dtypes: list[torch.dtype] = []

    def model(x: Tensor, sigma: float, step: int) -> Tensor:
        dtypes.append(x.dtype)
        return gaussian_velocity(x, sigma).to(torch.bfloat16)

    x = NOISE.to(torch.bfloat16)
    solved = solver(model, x, make_sigmas(8))
    assert solved.dtype == torch.bfloat16
    assert set(dtypes) == {torch.float32}
    assert torch.equal(solved, solver(model, x.float(), make_sigmas(8)).to(torch.bfloat16))
    assert torch.equal(x, NOISE.to(torch.bfloat16))


def test_weights_on_a_uniform_grid_are_the_classic_ones() -> None:
    h = 1 / 50
    nodes = [0.5 + 3 * h, 0.5 + 2 * h, 0.5 + h, 0.5]
    np.testing.assert_allclose(
        integration_weights(nodes, 0.5, 0.5 - h), -h * np.array([-9, 37, -59, 55]) / 24, rtol=1e-9
    )
    # The second step of the start is the midpoint rule.
    np.testing.assert_allclose(integration_weights([1.0, 1 - h], 1.0, 1 - 2 * h), [0, -2 * h], atol=1e-12)


@given(
    nodes=st.lists(st.integers(0, 100), min_size=1, max_size=4, unique=True),
    ends=st.lists(st.integers(0, 100), min_size=2, max_size=2, unique=True),
    coefficients=st.lists(st.integers(-5, 5), min_size=1, max_size=4),
)
@settings(deadline=None)
def test_weights_integrate_polynomials_exactly(nodes: list[int], ends: list[int], coefficients: list[int]) -> None:
    polynomial = np.polynomial.Polynomial(coefficients[: len(nodes)])
    nodes, (start, end) = [node / 100 for node in nodes], (end / 100 for end in ends)
    weights = integration_weights(nodes, start, end)
    got = sum(weight * polynomial(node) for weight, node in zip(weights, nodes, strict=True))
    scale = 1 + 5 * sum(map(abs, weights))
    assert got == pytest.approx(polynomial.integ()(end) - polynomial.integ()(start), abs=1e-8 * scale)


def noisy(model: Model, size: float) -> Model:
    generator = torch.Generator().manual_seed(0)
    return lambda x, sigma, step: (
        model(x, sigma, step) + size * torch.randn(x.shape, generator=generator, dtype=x.dtype).clamp(-3, 3)
    )


def test_a_sudden_long_step_does_not_multiply_the_models_errors() -> None:
    """As at the end of a detail-aware schedule: short steps down to 0.4, then one to 0."""
    sigmas = torch.cat([torch.linspace(1, 0.4, 50), torch.zeros(1)]).double()
    exact, disturbed = (pndm(model, NOISE, sigmas) for model in (gaussian_velocity, noisy(gaussian_velocity, 0.01)))
    # Unbounded, the last step alone has weights of a sum of several thousand.
    assert sum(map(abs, integration_weights(sigmas[46:50].tolist(), 0.4, 0.0))) > 1000
    assert (exact - disturbed).abs().max() < 0.03 * MAX_AMPLIFICATION
    assert (exact - gaussian_solution(0.0)).abs().max() < 0.5


@pytest.mark.parametrize(
    ("sigmas", "message"),
    [
        ([1.0], r"shape \(1,\)"),
        ([[1.0, 0.0]], r"shape \(1, 2\)"),
        ([1.0, 0.5, 0.5, 0.0], "from 0.5 to 0.5 at step 1"),
        ([0.0, 0.5, 1.0], "strictly descending"),
        ([1.0, math.nan, 0.0], "entries outside"),
        ([math.inf, 0.0], "entries outside"),
        ([1.0, -0.1], "entries outside"),
        ([1000.0, 500.0, 0.0], "noise levels, not timesteps"),
    ],
)
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_invalid_schedules(solver, sigmas: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solver(gaussian_velocity, NOISE, torch.tensor(sigmas))


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_velocity_of_another_shape_is_an_error(solver) -> None:
    with pytest.raises(ValueError, match=r"velocity of shape \(1,\) for a latent of shape \(9,\)"):
        solver(lambda x, sigma, step: x[:1], NOISE, make_sigmas(2))


def test_solvers_are_read_only() -> None:
    assert dict(SOLVERS) == {"euler": euler, "pndm": pndm}
    with pytest.raises(TypeError):
        SOLVERS["heun"] = euler
