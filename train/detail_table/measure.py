"""How much high-frequency detail the clean estimates of a sampling run gain from step to step (S 4.3).

At every step k of a run over a low-resolution video the model has an estimate of the clean latent. Its 2-D DCT is taken
for each channel and frame, of which the coefficients (u, v) with u / height + v / width >= cutoff are kept:

    energy  d_k = mean over channels and frames of |E_{k+1} - E_k|, E the sum of the squares
    norm    d_k = mean over channels and frames of the norm of H_{k+1} - H_k

S accumulates "pairwise differences", which may be read either way; the cut-off is not given. d_k belongs to the range
of sigma between steps k and k + 1; the last range, below the last estimate, repeats the one before it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gvr_core.cascade import Conditions, Settings, denoise
from gvr_core.guidance import MultiGuidance
from gvr_core.models.dit import DiT
from gvr_core.schedules import DetailTable, make_sigmas

log = logging.getLogger("gvr")

MEASURES = ("energy", "norm")
RARE = 1e-4
"""A share of training below which a noise level counts as never met."""


@dataclass(frozen=True, kw_only=True)
class ProfileSettings:
    """How detail is measured.

    Attributes:
        steps: of each run, at least 2; S takes 50. The bins of the table are these steps.
        cutoff: which coefficients are detail, above 0 and below 2; 1 is the anti-diagonal half.
        measure: "energy" or "norm", see above.
        floor: share that is spread over all bins alike, so that no noise level is never met (ours; 0 is the paper's).
        seed: of all noise; run number n uses seed + n.
    """

    steps: int = 50
    cutoff: float = 0.5
    measure: str = "energy"
    floor: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ValueError(f"steps is {self.steps}, expected at least 2: detail is a difference of steps")
        if not 0 < self.cutoff < 2:
            raise ValueError(f"cutoff is {self.cutoff}, expected above 0 (all but the mean) and below 2 (nothing)")
        if self.measure not in MEASURES:
            raise ValueError(f"measure is {self.measure!r}, expected one of {', '.join(MEASURES)}")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor is {self.floor}, expected a share in [0, 1]")


@dataclass(frozen=True)
class Video:
    """One low-resolution video, ready for a run.

    Attributes:
        upsampled: its latent on the high-resolution grid, `1 c t h w`.
        noise_aug: tau, the noise that is added to it.
        text: encoded prompt `1 n d`, or None.
    """

    upsampled: Tensor
    noise_aug: float
    text: Tensor | None = None


def dct2(x: Tensor) -> Tensor:
    """Orthonormal DCT-II along the last two axes, as `scipy.fft.dctn(x, type=2, norm="ortho", axes=(-2, -1))`."""
    return _cosines(x.shape[-2], x) @ x @ _cosines(x.shape[-1], x).T


def _cosines(n: int, like: Tensor) -> Tensor:
    """The matrix of the transform, rows are frequencies, `n n`."""
    place = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi / n * torch.outer(place, place + 0.5)) * math.sqrt(2 / n)
    matrix[0] /= math.sqrt(2)
    return matrix.to(like)


def high_frequencies(latent: Tensor, cutoff: float) -> Tensor:
    """The DCT of each channel and frame with everything below the cutoff set to 0, `b c t h w`, float32."""
    height, width = latent.shape[-2:]
    rows = torch.arange(height, device=latent.device)[:, None] / height
    columns = torch.arange(width, device=latent.device) / width
    return dct2(latent.float()) * (rows + columns >= cutoff)


def gain(before: Tensor, after: Tensor, measure: str) -> float:
    """d_k of two steps' high frequencies, `b c t h w`."""
    if measure == "norm":
        return float(torch.linalg.vector_norm(after - before, dim=(-2, -1)).mean())
    earlier, later = (x.square().sum(dim=(-2, -1)) for x in (before, after))
    return float((later - earlier).abs().mean())


def gains_of_run(dit: DiT, video: Video, settings: ProfileSettings, *, number: int = 0) -> list[float]:
    """d_0 to d_{steps - 2} of one run.

    Args:
        dit: the cascade's transformer.
        video: what is run over.
        settings: how.
        number: of the run.
    """
    found: list[float] = []
    previous: list[Tensor] = []

    def look(step: int, steps: int, denoised: Tensor) -> None:
        now = high_frequencies(denoised, settings.cutoff)
        if previous:
            found.append(gain(previous.pop(), now, settings.measure))
        previous.append(now)

    run = Settings(
        num_steps=settings.steps,
        solver="euler",
        shift=1.0,
        start=1.0,
        noise_aug=video.noise_aug,
        seed=settings.seed + number,
        guidance=MultiGuidance(s_txt=0.0, s_ref=0.0, n_ref=0),
    )
    denoise(dit, video.upsampled, run, Conditions(text=video.text), look)
    return found


def measure_detail(
    dit: DiT, videos: Iterable[Video], settings: ProfileSettings
) -> Iterator[tuple[list[float], DetailTable]]:
    """After each video its shares of detail, one for each step, and the table of all videos so far.

    Raises:
        ValueError: a model whose estimates do not change.
    """
    total = [0.0] * settings.steps
    for number, video in enumerate(videos):
        gains = gains_of_run(dit, video, settings, number=number)
        gains.append(gains[-1])
        total = [sum(pair) for pair in zip(total, gains, strict=True)]
        yield _shares(gains), make_table(total, settings.floor)


def make_table(gains: list[float], floor: float) -> DetailTable:
    """The table of measured d_k, one for each of equal steps from sigma 1 to 0."""
    shares = [(1 - floor) * share + floor / len(gains) for share in _shares(gains)]
    return DetailTable(sigmas=tuple(make_sigmas(len(gains)).tolist()), gains=tuple(shares))


def warn_of_gaps(table: DetailTable) -> None:
    """Say which noise levels a model trained with the table would never meet."""
    rare = [number for number, share in enumerate(table.gains) if share < RARE]
    if rare:
        low, high = table.sigmas[rare[-1] + 1], table.sigmas[rare[0]]
        log.warning(
            "%d of %d bins, between sigma %.2f and %.2f, have less than %g of the detail: a model that is trained with "
            "this table hardly learns them, give --floor 0.1 or so",
            len(rare),
            len(table.gains),
            low,
            high,
            RARE,
        )


def _shares(gains: list[float]) -> list[float]:
    total = math.fsum(gains)
    if not (math.isfinite(total) and total > 0):
        raise ValueError(f"the model's estimates gain {total} detail in all: is it trained, and the cutoff below 2?")
    return [value / total for value in gains]
