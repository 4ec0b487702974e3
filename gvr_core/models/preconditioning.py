"""Prediction of the residual to the low-resolution condition instead of the whole latent (ours, after EDM).

The condition is noise augmented, `c = (1 - tau) c0 + tau e`, so `A = c / (1 - tau)`, the anchor, is c0 with noise of
deviation `tau / (1 - tau)`. What is left to find is `r = x0 - A`, about Gaussian with, per channel,
`s^2 = residual_std^2 + (tau / (1 - tau))^2`, where residual_std is that of `x0 - c0` on the training data. Then

    y  = x_sigma - (1 - sigma) A = (1 - sigma) r + sigma eps        variance  V = (1 - sigma)^2 s^2 + sigma^2
    r^ = c_skip y + c_out F      c_skip = (1 - sigma) s^2 / V       c_out = s sigma / sqrt(V)

The skip is the posterior mean of r for Gaussian r and c_out its deviation, so with F = 0 the model already is the best
linear restorer, and the network's target has unit variance at every noise level. It sees `concat[y / sqrt(V), A]`.
The velocity `(x - x0^) / sigma` with `x0^ = A + r^` loses its division:

    velocity = -A + ((sigma - (1 - sigma) s^2) / V) y - (s / sqrt(V)) F

which is finite at sigma = 0. All of it is computed in float32 (float64 for float64 input).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Preconditioned:
    """One noisy latent split into anchor and noisy residual. Made by `precondition`.

    Attributes:
        anchor: A, `b c t h w`.
        residual: y, `b c t h w`.
        sigma: noise level of the latent, `b 1 1 1 1`.
        std: s, `b c 1 1 1`.
    """

    anchor: Tensor
    residual: Tensor
    sigma: Tensor
    std: Tensor

    @property
    def variance(self) -> Tensor:
        """V, the variance of y, `b c 1 1 1`."""
        return ((1 - self.sigma) * self.std) ** 2 + self.sigma**2

    @property
    def network_input(self) -> Tensor:
        """`concat[y / sqrt(V), A]`, `b 2c t h w`."""
        return torch.cat([self.residual / self.variance.sqrt(), self.anchor], dim=1)

    def velocity(self, output: Tensor) -> Tensor:
        """The velocity that the network's output F (`b c t h w`) stands for."""
        slope = (self.sigma - (1 - self.sigma) * self.std**2) / self.variance
        return slope * self.residual - self.anchor - self.std / self.variance.sqrt() * output.to(self.anchor.dtype)

    def target(self, clean: Tensor) -> Tensor:
        """The output F for which `velocity` leads exactly to `clean`, `b c t h w`; only for sigma > 0."""
        skip = (1 - self.sigma) * self.std**2 / self.variance
        scale = self.std * self.sigma / self.variance.sqrt()
        return (clean - self.anchor - skip * self.residual) / scale

    @property
    def loss_weight(self) -> Tensor:
        """`V / s^2`, `b c 1 1 1`: times the squared error of the velocity it is the squared error of F."""
        return self.variance / self.std**2


def precondition(
    x: Tensor, condition: Tensor, *, sigma: float | Tensor, noise_level: float | Tensor, residual_std: tuple[float, ...]
) -> Preconditioned:
    """Splits a noisy latent into the anchor given by its condition and what is left.

    Args:
        x: latent at noise level sigma, `b c t h w`.
        condition: low-resolution latent on the same grid, noise augmented at `noise_level`, `b c t h w`.
        sigma: noise level in [0, 1], one number or `(b,)`.
        noise_level: tau in [0, 1), one number or `(b,)`.
        residual_std: deviation of clean latent minus clean condition, one positive number per channel.

    Raises:
        ValueError: condition of another shape than x, not one deviation per channel, tau outside [0, 1), or sigma or
            tau with a number of entries that is not the batch's.
    """
    check_condition(condition, x)
    if len(residual_std) != x.shape[1]:
        raise ValueError(
            f"residual_std has {len(residual_std)} numbers for {x.shape[1]} latent channels, expected one each: "
            "use the config that belongs to this latent space"
        )
    wide = torch.promote_types(x.dtype, torch.float32)
    sigma = per_sample("sigma", sigma, x).reshape(-1, 1, 1, 1, 1)
    tau = per_sample("condition noise level", noise_level, x).reshape(-1, 1, 1, 1, 1)
    _check_level(noise_level)
    std = torch.tensor(residual_std, dtype=wide, device=x.device).reshape(1, -1, 1, 1, 1)
    anchor = condition.to(wide) / (1 - tau)
    return Preconditioned(
        anchor=anchor,
        residual=x.to(wide) - (1 - sigma) * anchor,
        sigma=sigma,
        std=torch.sqrt(std**2 + (tau / (1 - tau)) ** 2),
    )


def _check_level(noise_level: float | Tensor) -> None:
    # Values of a tensor are not known while a graph is made of the model.
    if isinstance(noise_level, Tensor) and torch.compiler.is_compiling():
        return
    for level in noise_level.flatten().tolist() if isinstance(noise_level, Tensor) else [noise_level]:
        if not 0 <= level < 1:
            raise ValueError(
                f"condition noise level is {level:g}, expected 0 <= level < 1: "
                "at 1 nothing of the condition is left to predict a residual to, use a lower level"
            )


def check_condition(condition: Tensor, x: Tensor) -> None:
    """Raises ValueError if the condition is not on the latent's grid. Both `b c t h w`."""
    if condition.shape != x.shape:
        raise ValueError(
            f"condition has shape {tuple(condition.shape)} and the latent {tuple(x.shape)}, expected the same "
            "(b c t h w): upsample the condition to the latent's size first"
        )


def per_sample(name: str, value: float | Tensor, x: Tensor) -> Tensor:
    """`value` as one number for each sample of `x`, `(b,)` on its device and in its dtype, but at least float32.

    Args:
        name: what it is, for the error.
        value: one number, or a tensor of shape `()`, `(1,)` or `(b,)`.
        x: `b ...`.

    Raises:
        ValueError: a tensor of another shape.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    value = value.to(x.device, wide) if isinstance(value, Tensor) else torch.tensor(value, dtype=wide, device=x.device)
    if value.ndim > 1 or (value.ndim == 1 and len(value) not in (1, len(x))):
        raise ValueError(
            f"{name} has shape {tuple(value.shape)} for {len(x)} samples, expected one number or ({len(x)},): "
            "give one for all samples, or one for each"
        )
    return value.expand(len(x))
