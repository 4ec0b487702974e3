"""Model-guided degradation (S 4.2.2, U 3.3): noise a clean latent partly and let a text-to-video model finish it.

The result keeps the layout of the clip and has the look, and the faults, of that model. Two ways to say how much:

- S: `alpha`, the share of noise that is mixed in, 0.3 to 0.4; walked back in any number of steps.
- U: `k` of `num_steps` steps forward and k back; the last k steps of a whole schedule.

Both become exact sigmas here, so a host's own reading of "denoise" plays no part. No steps mean no change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from ..flow import compute_dtype, interpolate
from ..noise import SAMPLING, frame_noise
from ..schedules import DetailTable, make_sigmas
from ..solvers import SOLVERS, Callback, Model
from .config import SDEditDegradation, SyntheticDegradation
from .randomness import SDEDIT, SDEDIT_LEVEL, keyed_generator
from .synthetic import degrade_synthetic

Encode = Callable[[Iterable[np.ndarray]], Tensor]
"""`encode(frames) -> latent`: frames `h w 3` uint8, one at a time, to `b c t h w` in the values the model works on."""

Decode = Callable[[Tensor], Iterable[np.ndarray]]
"""`decode(latent) -> frames`: the way back, at least as many frames as were encoded."""


def alpha_sigmas(alpha: float, num_steps: int, *, shift: float = 1.0, table: DetailTable | None = None) -> Tensor:
    """The schedule of S: from exactly `alpha` to 0 in `num_steps` steps.

    Args:
        alpha: share of noise at the start, 0 to 1; S uses 0.3 to 0.4.
        num_steps: model evaluations, at least 1.
        shift: shapes the steps below alpha, never alpha itself; that of the model.
        table: detail gains that shape them instead.

    Returns:
        float32 `(num_steps + 1,)`, strictly descending from `alpha` to 0. For alpha = 0 `(1,)`: nothing to do.

    Raises:
        ValueError: alpha outside [0, 1], or what `make_sigmas` raises.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}, expected a share of noise from 0 to 1: S uses 0.3 to 0.4")
    if alpha == 0:
        return torch.zeros(1)
    return make_sigmas(num_steps, shift=shift, start=alpha, table=table)


def last_sigmas(sigmas: Tensor, k: int) -> Tensor:
    """The schedule of U: the last `k` steps of a whole one, so k steps back undo k steps forward.

    U draws k from 5 to 15 of 50 (Table 4), which on the unshifted schedule starts at sigma 0.1 to 0.3.

    Args:
        sigmas: a whole schedule `(num_steps + 1,)`, descending to 0.
        k: 0 to num_steps.

    Returns:
        `(k + 1,)`, the end of `sigmas`. For k = 0 just its 0: nothing to do.

    Raises:
        ValueError: k is out of that range or the schedule does not end at 0.
    """
    if sigmas.ndim != 1 or len(sigmas) < 2 or float(sigmas[-1]) != 0:
        raise ValueError(
            f"sigmas of shape {tuple(sigmas.shape)} are no whole schedule, expected (num_steps + 1,) ending at 0: "
            "make them with make_sigmas"
        )
    if not 0 <= k <= len(sigmas) - 1:
        raise ValueError(
            f"k is {k}, expected 0 to {len(sigmas) - 1} steps of this schedule: use fewer, or a schedule of more steps"
        )
    return sigmas[-(k + 1) :].clone()


def draw_sigmas(config: SDEditDegradation, *, seed: int, clip_id: str) -> Tensor:
    """The schedule of one clip: alpha or k drawn from the config's range, uniformly; `(1,)` where it is 0.

    Raises:
        ValueError: seed out of its range, or a schedule that float32 cannot tell apart.
    """
    generator = keyed_generator(seed, clip_id, SDEDIT_LEVEL)
    if config.mode == "alpha":
        low, high = config.alpha
        return alpha_sigmas(low + (high - low) * generator.random(), config.steps, shift=config.shift)
    k = int(generator.integers(config.k[0], config.k[1] + 1))
    return last_sigmas(make_sigmas(config.steps, shift=config.shift), k)


@torch.no_grad()
def sdedit(
    latent: Tensor,
    sigmas: Tensor,
    model: Model,
    *,
    seed: int,
    clip_id: str,
    first_frame: int = 0,
    solver: str = "euler",
    callback: Callback | None = None,
) -> Tensor:
    """The latent as the model would have made it: mixed with noise to `sigmas[0]`, denoised down to 0.

    Args:
        latent: clean, `b c t h w`, in the values that the model works on.
        sigmas: from `alpha_sigmas` or `last_sigmas`.
        model: `model(x, sigma, step) -> velocity`, called once for each step with x in float32 (float64 if the latent
            is), guidance included.
        seed: 0 to 2**64 - 1.
        clip_id: name of the clip; other clips get other noise.
        first_frame: index of the first latent frame in the whole clip; the noise of a frame depends on it alone.
        solver: "euler" or "pndm".
        callback: see `solvers.Callback`.

    Returns:
        `b c t h w`, dtype of `latent`. The very same tensor where there are no steps.

    Raises:
        ValueError: an unknown solver, a seed out of range, sigmas that are no descending schedule within [0, 1], or a
            model whose result has another shape.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver is '{solver}', expected one of {', '.join(SOLVERS)}")
    if sigmas.ndim == 1 and len(sigmas) == 1 and float(sigmas[0]) == 0:
        return latent
    # Mixed in the solver's precision: in bfloat16 small alphas would be rounded away before the first step.
    clean = latent.to(compute_dtype(latent))
    # Not the seed itself: the pair's own noise must not contain that of its condition.
    noise_seed = int(keyed_generator(seed, clip_id, SDEDIT).integers(2**64, dtype=np.uint64))
    noise = frame_noise(clean, seed=noise_seed, purpose=SAMPLING, first_frame=first_frame)
    noisy = interpolate(clean, noise, float(sigmas[0]))
    return SOLVERS[solver](model, noisy, sigmas, callback).to(latent.dtype)


def degrade_latent(
    latent: Tensor,
    config: SDEditDegradation,
    model: Model,
    *,
    seed: int,
    clip_id: str,
    first_frame: int = 0,
    callback: Callback | None = None,
) -> Tensor:
    """S's degradation: `sdedit` at a level drawn for the clip. S stores this latent and never decodes it.

    Arguments, result and errors are those of `draw_sigmas` and `sdedit`.
    """
    return sdedit(
        latent,
        draw_sigmas(config, seed=seed, clip_id=clip_id),
        model,
        seed=seed,
        clip_id=clip_id,
        first_frame=first_frame,
        solver=config.solver,
        callback=callback,
    )


def degrade_model_guided(
    frames: Iterable[np.ndarray],
    config: SDEditDegradation,
    synthetic: SyntheticDegradation,
    *,
    encode: Encode,
    decode: Decode,
    model: Model,
    seed: int,
    clip_id: str,
    callback: Callback | None = None,
) -> Iterator[np.ndarray]:
    """U's chain: encode, `degrade_latent`, decode, `degrade_synthetic`.

    The latent of the clip is in memory as a whole, its frames are not. Nothing happens before the first frame is asked
    for.

    Args:
        frames: `h w 3` uint8 RGB, already at a size that the model can make.
        config: level of the model-guided part. At 0 the clip still goes through encode and decode.
        synthetic: what follows.
        encode: to the model's latent.
        decode: back; frames beyond the clip's length, with which a VAE fills up, are cut off.
        model: see `sdedit`.
        seed: 0 to 2**64 - 1.
        clip_id: name of the clip; the same name and seed give the same bytes.
        callback: see `solvers.Callback`.

    Yields:
        As many frames as came in, at the size that `synthetic` gives them.

    Raises:
        ValueError: `decode` gives fewer frames than were encoded, or what the parts raise.
    """
    count = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal count
        for frame in frames:
            count += 1
            yield frame

    latent = encode(counted())
    latent = degrade_latent(latent, config, model, seed=seed, clip_id=clip_id, callback=callback)
    decoded = 0
    for frame in degrade_synthetic(islice(decode(latent), count), synthetic, seed=seed, clip_id=clip_id):
        decoded += 1
        yield frame
    if decoded < count:
        raise ValueError(f"decode gave {decoded} frames for a clip of {count}: check that it belongs to encode")
