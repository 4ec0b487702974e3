"""What a `DiT` accepts: the checks of its inputs, in the user's words."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .dit_config import DiTConfig
from .preconditioning import check_condition


def check_inputs(
    config: DiTConfig,
    x: Tensor,
    context: Tensor | None,
    condition: Tensor | None,
    references: Tensor | None,
    reference_times: Sequence[int],
) -> None:
    """Does nothing if the inputs of `DiT.forward` fit the model and each other.

    Raises:
        ValueError: they do not; the message says which and what to do.
    """
    if x.ndim != 5:
        raise ValueError(f"latent has {x.ndim} dimensions, expected 5 (b c t h w): add the missing ones")
    if x.shape[1] != config.latent_channels:
        raise ValueError(
            f"latent has {x.shape[1]} channels, this checkpoint expects {config.latent_channels}: "
            f"use the VAE of latent space '{config.space}', which it was trained with"
        )
    height, width = config.patch_size[1:]
    if x.shape[3] % height or x.shape[4] % width:
        raise ValueError(
            f"latent is {x.shape[3]} x {x.shape[4]} (h w), expected multiples of the patch {height} x {width}: "
            "pad it and cut the result"
        )
    if (context is None) != (config.text_dim == 0):
        given, wanted = ("no context", "text") if context is None else ("a context", "none, it is class-free")
        raise ValueError(f"got {given} but this checkpoint expects {wanted}: use the checkpoint that fits")
    if context is not None and (context.ndim != 3 or (len(context), context.shape[2]) != (len(x), config.text_dim)):
        raise ValueError(
            f"context has shape {tuple(context.shape)}, expected ({len(x)}, n, {config.text_dim}): "
            "use the text encoder the checkpoint was trained with, one prompt for each sample"
        )
    if condition is not None and not config.condition_channels:
        raise ValueError("got a condition but this checkpoint is a plain model: use a cascade checkpoint")
    if condition is None and config.residual_std is not None:
        raise ValueError("got no condition but this checkpoint predicts a residual to one: give the condition")
    if condition is not None:
        check_condition(condition, x)
    frames = 0
    if references is not None:
        expected = (*x.shape[:2], *x.shape[3:])
        if references.ndim != 5 or (*references.shape[:2], *references.shape[3:]) != expected:
            raise ValueError(
                f"references have shape {tuple(references.shape)} and the latent {tuple(x.shape)}, expected the "
                "same except for t: pad them to the target's size before encoding"
            )
        frames = references.shape[2]
    if frames != len(reference_times):
        raise ValueError(
            f"got {frames} reference frames and {len(reference_times)} reference times, expected one time for each"
        )
