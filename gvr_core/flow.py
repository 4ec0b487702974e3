"""The flow equation of the project: `x_sigma = (1 - sigma) * clean + sigma * noise`, written here and nowhere else.

sigma runs from 0 (clean) to 1 (pure noise); the model predicts `velocity = noise - clean` (S eq. 3, the sign of Wan).
U writes the negative velocity, which is the same objective. Training makes its inputs and targets with `interpolate`
and `velocity`, sampling reads the clean estimate with `denoised`, so the two cannot disagree.

Every function computes in float32 (float64 where an input is float64) and returns the dtype of its first argument.
"""

from __future__ import annotations

import torch
from torch import Tensor


def compute_dtype(*tensors: Tensor) -> torch.dtype:
    """The dtype that sampler arithmetic on `tensors` is done in: float64 where one of them is, otherwise float32."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


def interpolate(clean: Tensor, noise: Tensor, sigma: float | Tensor) -> Tensor:
    """The point at `sigma` on the straight path from `clean` to `noise`.

    Args:
        clean: `b ...`.
        noise: the same shape as `clean`.
        sigma: noise level in [0, 1]; one number, or `(b,)` with one level for each sample.

    Returns:
        `(1 - sigma) * clean + sigma * noise`, `b ...`. At 0 exactly `clean`, at 1 exactly `noise` (finite inputs).

    Raises:
        ValueError: the shapes differ, or `sigma` is a tensor of another shape than `()` or `(b,)`.
    """
    _require_same_shape("clean", clean, "noise", noise)
    dtype = compute_dtype(clean, noise)
    sigma = _trailing(sigma, clean, dtype)
    return ((1 - sigma) * clean.to(dtype) + sigma * noise.to(dtype)).to(clean.dtype)


def velocity(noise: Tensor, clean: Tensor) -> Tensor:
    """`noise - clean`, the derivative of the path by sigma and the training target (S eq. 3). Both `b ...`.

    Raises:
        ValueError: the shapes differ.
    """
    _require_same_shape("noise", noise, "clean", clean)
    dtype = compute_dtype(noise, clean)
    return (noise.to(dtype) - clean.to(dtype)).to(noise.dtype)


def denoised(x: Tensor, velocity: Tensor, sigma: float | Tensor) -> Tensor:
    """The clean latent that `x` and `velocity` point at: `x - sigma * velocity`.

    Args:
        x: `b ...`, at noise level `sigma`.
        velocity: the same shape, noise minus clean.
        sigma: noise level in [0, 1]; one number, or `(b,)` with one level for each sample.

    Raises:
        ValueError: the shapes differ, or `sigma` is a tensor of another shape than `()` or `(b,)`.
    """
    _require_same_shape("x", x, "velocity", velocity)
    dtype = compute_dtype(x, velocity)
    return (x.to(dtype) - _trailing(sigma, x, dtype) * velocity.to(dtype)).to(x.dtype)


def _trailing(sigma: float | Tensor, x: Tensor, dtype: torch.dtype) -> float | Tensor:
    """`sigma` ready to multiply `x`: a number as it is, `(b,)` as `b 1 1 ...`."""
    if not isinstance(sigma, Tensor):
        return sigma
    if sigma.ndim > 1 or (sigma.ndim == 1 and sigma.shape[0] != x.shape[0]):
        raise ValueError(
            f"sigma has shape {tuple(sigma.shape)} for {x.shape[0]} samples, expected () or ({x.shape[0]},): "
            "give one noise level, or one for each sample"
        )
    sigma = sigma.to(device=x.device, dtype=dtype)
    return sigma if sigma.ndim == 0 else sigma.reshape(-1, *[1] * (x.ndim - 1))


def _require_same_shape(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    if tensor.shape != other.shape:
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)} and {other_name} {tuple(other.shape)}, expected the same: "
            "make both from the same latent"
        )
