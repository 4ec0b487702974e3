"""The linear start of the Nano VAE: principal components of 4 x 8 x 8 pixel blocks, all under one common scale.

Orthonormal components make the latent's squared error the pixels' squared error, and one common scale (instead of
whitening) keeps strong components strong: noise of one level then hides fine detail first and layout last, which is
what makes the diffusion on top trainable in an hour.
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor

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
