"""Closed-form starts: the best linear autoencoder and the best linear upsampler, before any gradient step.

The autoencoder: principal components of 4 x 8 x 8 pixel blocks, all under one common scale.

Orthonormal components make the latent's squared error the pixels' squared error, and one common scale (instead of
whitening) keeps strong components strong: noise of one level then hides fine detail first and layout last, which is
what makes the diffusion on top trainable in an hour.

The upsampler: for a given position inside a cell the best 3 x 3 linear map from bilinear to clean latent is a least
squares problem of a few thousand unknowns.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn import functional

from gvr_core.models.upsampler import LatentUpsampler, position_basis
from gvr_core.models.vae import NanoVAE


def pixel_blocks(video: Tensor, *, temporal: int, spatial: int) -> Tensor:
    """`b 3 f h w` -> `n (3 temporal spatial spatial)`; the first frame stands for a whole group, as in `NanoVAE`."""
    video = torch.cat([repeat(video[:, :, :1], "b c 1 h w -> b c n h w", n=temporal), video[:, :, 1:]], dim=2)
    return rearrange(video, "b c (t n) (h y) (w x) -> (b t h w) (c n y x)", n=temporal, y=spatial, x=spatial)


@torch.no_grad()
def start_linear(vae: NanoVAE, videos: list[Tensor]) -> float:
    """Set the linear maps of `vae` to the principal components of `videos`; the residuals stay as they are.

    Args:
        vae: the autoencoder; its residual trunks end in zeros, so that it now is the linear map.
        videos: `b 3 f h w` in [-1, 1] each.

    Returns:
        The share of the blocks' variance that the components keep, in [0, 1].
    """
    space = vae.space
    blocks = torch.cat([pixel_blocks(v, temporal=space.temporal, spatial=space.spatial) for v in videos]).double()
    mean = blocks.mean(dim=0)
    centred = blocks - mean
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    kept = vectors.flip(1)[:, : space.channels]  # strongest first
    scale = variances.flip(0)[: space.channels].mean().sqrt()  # the latent's mean square becomes 1
    encode = (kept / scale).T
    decode = kept * scale
    vae.linear_encoder.weight.copy_(encode[:, :, None, None, None])
    vae.linear_encoder.bias.copy_(-encode @ mean)
    vae.linear_decoder.weight.copy_(decode[:, :, None, None, None])
    vae.linear_decoder.bias.copy_(mean)
    return float(variances.flip(0)[: space.channels].sum() / variances.sum())


RIDGE = 1e-4
"""Regularisation of the least squares, as a share of the features' mean square."""


@torch.no_grad()
def start_upsampler(upsampler: LatentUpsampler, pairs: Iterable[tuple[Tensor, Tensor]], *, scale: float) -> float:
    """Set the position-dependent linear map of `upsampler` to the least-squares solution; the rest stays as it is.

    Args:
        upsampler: untrained: its convolutions end in zeros, so that it now is the linear map.
        pairs: (bilinear, clean) latents, `b c t h w` each, of one size.
        scale: their factor.

    Returns:
        The share of the squared error of bilinear that is left, in [0, 1].
    """
    gram = cross = power = None
    for plain, clean in pairs:
        features = _position_features(plain, scale)
        target = rearrange(clean - plain, "b c t h w -> (b t h w) c")
        terms = (features.T @ features).double(), (features.T @ target).double(), target.square().sum(0).double()
        if gram is None:
            gram, cross, power = terms
        else:
            gram, cross, power = gram + terms[0], cross + terms[1], power + terms[2]
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    solution = torch.linalg.solve(gram + ridge, cross)  # (basis, bias and c * 3 * 3) -> c
    left = power - 2 * (solution * cross).sum(0) + (solution * (gram @ solution)).sum(0)
    per_basis = rearrange(solution, "(basis n) c -> basis c n", basis=4)
    upsampler.linear.conv.bias.copy_(per_basis[..., 0].flatten())
    upsampler.linear.conv.weight.copy_(per_basis[..., 1:].reshape(upsampler.linear.conv.weight.shape))
    return float(left.sum() / power.sum())


def _position_features(plain: Tensor, scale: float) -> Tensor:
    """For each cell 1 and its 3 x 3 neighbourhood, times each basis function: `(b t h w) (4 (1 + 9 c))`."""
    height, width = plain.shape[-2:]
    frames = functional.pad(rearrange(plain, "b c t h w -> (b t) c h w"), (1, 1, 1, 1), mode="replicate")
    around = rearrange(functional.unfold(frames, 3), "f n (h w) -> f h w n", h=height)
    around = torch.cat([torch.ones_like(around[..., :1]), around], dim=-1)
    basis = position_basis(height, width, scale)
    return rearrange(torch.einsum("k h w, f h w n -> f h w k n", basis, around), "f h w k n -> (f h w) (k n)")
