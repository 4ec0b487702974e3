"""Solvers of the sampling ODE `dx = velocity(x, sigma) dsigma`, from the first sigma of a schedule down to its last.

All share one signature and evaluate the model exactly once a step, so 50 steps are 50 evaluations. The state is kept in
float32 (float64 if `x` is float64), is what the model and the callback receive, and is cast back to the dtype of `x`
once, at the end. The velocity at the last sigma is never asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from .flow import compute_dtype, denoised

Model = Callable[[Tensor, float, int], Tensor]
"""`model(x, sigma, step) -> velocity`: `x` is the state at `sigma`, the result has its shape."""

Callback = Callable[[int, int, Tensor], None]
"""`callback(step, num_steps, denoised)`, after each evaluation; `denoised` is the clean estimate at that step."""

MAX_AMPLIFICATION = 12.0
"""Bound on sum |weight| / step length in `pndm`; the classic coefficients have 160/24 = 6.7. Ours, see `pndm`."""


def euler(model: Model, x: Tensor, sigmas: Tensor, callback: Callback | None = None) -> Tensor:
    """The state at the last sigma by Euler steps (order 1): `x + (next_sigma - sigma) * velocity`.

    Args:
        model: gives the velocity.
        x: the state at `sigmas[0]`, any shape.
        sigmas: strictly descending noise levels in [0, 1], `(num_steps + 1,)`.
        callback: called after each evaluation.

    Returns:
        The state at `sigmas[-1]`, shape and dtype of `x`.

    Raises:
        ValueError: `sigmas` is no such schedule, or the model returns another shape than `x`.
    """
    levels = _levels(sigmas)
    state = x.to(compute_dtype(x))
    for step, (sigma, next_sigma) in enumerate(pairwise(levels)):
        velocity = _evaluate(model, state, sigma, step, len(levels) - 1, callback)
        state = state + (next_sigma - sigma) * velocity
    return state.to(x.dtype)


def pndm(model: Model, x: Tensor, sigmas: Tensor, callback: Callback | None = None) -> Tensor:
    """The state at the last sigma by a fourth-order linear multistep method (U 4.1.1; Liu et al., PNDM).

    PNDM for velocities is Adams-Bashforth 4: integrate the cubic through the last four velocities over the step. Its
    weights are computed for the actual sigmas, so the order also holds on shifted schedules; on a uniform one they are
    the classic (55, -59, 37, -9) / 24.

    The start is ours. PNDM spends 12 evaluations on three Runge-Kutta steps; here every step costs one, and the first
    four integrate again from the beginning with all that is known by then (v_k is the velocity at node k, of length h):

        x1 = x0 + int_0^1 p(v0)            error h^2, which v1 inherits
        x2 = x0 + int_0^2 p(v0, v1)        error h^3: v1's error times h; the midpoint rule on a uniform schedule
        x3 = x0 + int_0^3 p(v0, v1, v2)    error h^3, again through v1
        x4 = x0 + int_0^4 p(v0, v2, v3)    error h^4: v1 is left out, the quadratic misses h^4, v2 and v3 add h * h^3
        x5 = x4 + int_4^5 p(v0, v2, v3, v4)

    From x6 on the last four are used. The errors h^3 in v2 and v3 enter a few steps, each time multiplied by h, so what
    they leave behind is of order h^4 like the global error of the method.

    Deviation, ours: where steps suddenly grow (a detail-aware schedule may end in one long step) the polynomial would
    be extrapolated far beyond its nodes and multiply the model's errors. The oldest nodes are dropped, down to a single
    velocity, until sum |weight| <= `MAX_AMPLIFICATION` * length. Neighbouring steps of nearly equal length, which any
    smooth schedule has with enough steps, never reach the bound, so the order stays.

    Arguments, result and errors are those of `euler`. Any number of steps from 1 on works.
    """
    levels = _levels(sigmas)
    state = start = x.to(compute_dtype(x))
    velocities: dict[int, Tensor] = {}
    for step, sigma in enumerate(levels[:-1]):
        velocities[step] = _evaluate(model, state, sigma, step, len(levels) - 1, callback)
        origin, nodes = _stencil(step)
        weights = _bounded_weights([levels[node] for node in nodes], levels[origin], levels[step + 1])
        state = start if origin == 0 else state
        for node, weight in zip(reversed(nodes), reversed(weights), strict=False):
            state = state.add(velocities[node], alpha=weight)
        later = {node for coming in range(step + 1, step + 4) for node in _stencil(coming)[1]}
        velocities = {node: velocity for node, velocity in velocities.items() if node in later}
    return state.to(x.dtype)


SOLVERS = MappingProxyType({"euler": euler, "pndm": pndm})
"""The solvers by name, read-only."""


def integration_weights(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """Weights w with `sum w_j f(nodes_j)` = the integral of f from `start` to `end`, exact for deg f < len(nodes).

    These are the integrals of the Lagrange polynomials of `nodes` (distinct, at least one), in float64.
    """
    # In units of the interval, seen from its start, the moments are 1 / (m + 1) and the system stays well conditioned.
    positions = (np.asarray(nodes, dtype=np.float64) - start) / (end - start)
    powers = np.arange(len(nodes))
    weights = np.linalg.solve(positions[None, :] ** powers[:, None], 1.0 / (powers + 1))
    return [float(weight) for weight in weights * (end - start)]


_START_STENCILS = ((0, (0,)), (0, (0, 1)), (0, (0, 1, 2)), (0, (0, 2, 3)), (4, (0, 2, 3, 4)))


def _stencil(step: int) -> tuple[int, tuple[int, ...]]:
    """Which node `pndm` integrates from to reach node `step + 1`, and the nodes whose velocities it uses."""
    if step < len(_START_STENCILS):
        return _START_STENCILS[step]
    return step, (step - 3, step - 2, step - 1, step)


def _bounded_weights(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """`integration_weights` of as many of the last `nodes` as keep the amplification within its bound."""
    for first in range(len(nodes)):
        weights = integration_weights(nodes[first:], start, end)
        if sum(map(abs, weights)) <= MAX_AMPLIFICATION * abs(end - start):
            break
    return weights


def _evaluate(model: Model, x: Tensor, sigma: float, step: int, num_steps: int, callback: Callback | None) -> Tensor:
    velocity = model(x, sigma, step)
    if velocity.shape != x.shape:
        raise ValueError(
            f"the model returned a velocity of shape {tuple(velocity.shape)} for a latent of shape {tuple(x.shape)}, "
            "expected the same: check that the model and the latent belong together"
        )
    velocity = velocity.to(x.dtype)
    if callback is not None:
        callback(step, num_steps, denoised(x, velocity, sigma))
    return velocity


def _levels(sigmas: Tensor) -> list[float]:
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise ValueError(
            f"sigmas have shape {tuple(sigmas.shape)}, expected (num_steps + 1,) with at least 1 step: "
            "make them with make_sigmas"
        )
    levels = sigmas.to("cpu", torch.float64).tolist()
    # Hosts compute schedules in float32, where a shift may round the 1 upwards.
    if not all(0 <= level <= 1 + 1e-6 for level in levels):
        raise ValueError(
            f"sigmas run from {levels[0]:g} to {levels[-1]:g} with entries outside [0, 1]: "
            "give noise levels, not timesteps"
        )
    for step, (sigma, next_sigma) in enumerate(pairwise(levels)):
        if not sigma > next_sigma:
            raise ValueError(
                f"sigmas go from {sigma:g} to {next_sigma:g} at step {step}, expected strictly descending: "
                "remove repeated entries and sort from noise to clean"
            )
    return levels
