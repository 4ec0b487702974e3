"""Sigma schedules: uniform, shifted, detail-aware, and the lower part of any other.

A schedule is a float32 tensor `(num_steps + 1,)`, strictly descending, whose last entry is 0.

The detail-aware table follows S 4.3: it says how much high-frequency detail a uniformly trained model gains in each
range of sigma. S draws training timesteps from it (`DetailTable.sample`); turned round, with the same gain in every
step, it is an inference schedule (`detail_aware_sigmas`, ours).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class DetailTable:
    """How the gain of detail is distributed over the noise levels (S 4.3).

    Attributes:
        sigmas: bin edges, strictly descending from 1 to 0.
        gains: share of the detail gained in each bin, one fewer than edges, at least 0, sum 1 (within 0.1 %).
    """

    sigmas: tuple[float, ...]
    gains: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", tuple(float(sigma) for sigma in self.sigmas))
        object.__setattr__(self, "gains", tuple(float(gain) for gain in self.gains))
        if len(self.sigmas) < 2 or len(self.gains) != len(self.sigmas) - 1:
            raise ValueError(
                f"detail table has {len(self.sigmas)} sigmas and {len(self.gains)} gains, "
                "expected at least 2 sigmas and one gain fewer: give one gain for each bin between two sigmas"
            )
        descending = all(high > low for high, low in pairwise(self.sigmas))
        if not (descending and self.sigmas[0] == 1 and self.sigmas[-1] == 0):
            raise ValueError(
                f"sigmas of the detail table run from {self.sigmas[0]:g} to {self.sigmas[-1]:g}, "
                "expected strictly descending from 1 to 0: measure the table over the whole range"
            )
        total = math.fsum(self.gains)
        if not (all(gain >= 0 for gain in self.gains) and abs(total - 1) <= 1e-3):
            raise ValueError(
                f"gains of the detail table sum to {total:g} with a smallest of {min(self.gains):g}, "
                "expected at least 0 each and sum 1: divide them by their sum"
            )

    def to_dict(self) -> dict[str, list[float]]:
        """The table as JSON-ready lists, for `from_dict`."""
        return {"sigmas": list(self.sigmas), "gains": list(self.gains)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DetailTable:
        """The table that `to_dict` wrote. Raises ValueError for missing or unknown keys and for an invalid table."""
        if set(data) != {"sigmas", "gains"}:
            raise ValueError(f"detail table has the keys {sorted(data)}, expected gains and sigmas: measure it again")
        return cls(sigmas=tuple(data["sigmas"]), gains=tuple(data["gains"]))

    def sample(self, generator: torch.Generator | None, n: int) -> Tensor:
        """`n` training sigmas: a bin drawn by its gain, then uniform inside the bin (S 4.3).

        Args:
            generator: source of randomness; None for torch's default one, on the CPU.
            n: how many, at least 0.

        Returns:
            float32 `(n,)` in [0, 1], on the generator's device.
        """
        device = torch.device("cpu") if generator is None else generator.device
        uniform = torch.rand(n, generator=generator, device=device)
        # 1 - uniform lies in (0, 1]: a bin without gain is never entered. float64 only on the CPU, MPS has none.
        return self.sigma_at(1 - uniform.to("cpu", torch.float64)).to(device, torch.float32)

    def gain_above(self, sigma: float) -> float:
        """Share of the detail gained from pure noise down to `sigma`: 0 at 1, 1 at 0."""
        edges, gained = self._cumulative()
        index = int(torch.searchsorted(-edges, -sigma).clamp(1, len(self.gains)))
        part = (edges[index - 1] - sigma) / (edges[index - 1] - edges[index])
        return float(torch.lerp(gained[index - 1], gained[index], part))

    def sigma_at(self, gain: Tensor) -> Tensor:
        """The highest sigma by which the shares `gain`, in (0, 1], are reached. float64 of the same shape."""
        edges, gained = self._cumulative()
        # side left: gained[index - 1] < gain <= gained[index], so the bin has some gain and the division is safe.
        index = torch.searchsorted(gained, gain)
        part = (gain - gained[index - 1]) / (gained[index] - gained[index - 1])
        return torch.lerp(edges[index - 1], edges[index], part)

    def _cumulative(self) -> tuple[Tensor, Tensor]:
        edges = torch.tensor(self.sigmas, dtype=torch.float64)
        gained = torch.tensor((0.0, *self.gains), dtype=torch.float64).cumsum(0)
        return edges, gained / gained[-1]


def make_sigmas(num_steps: int, *, shift: float = 1.0, start: float = 1.0, table: DetailTable | None = None) -> Tensor:
    """The schedule of a sampling run.

    The uniform schedule, or the detail-aware one of `table`, shifted by `shift`, of which the part below `start` is
    walked in `num_steps` steps. So the first entry is `start` at any shift, and a lower start keeps the shape.

    Args:
        num_steps: steps, at least 1.
        shift: above 0; 1 changes nothing, more spends more steps at high noise.
        start: first sigma in (0, 1]; below 1 for a run that begins from a partly noised latent.
        table: measured detail gains; None for the uniform schedule.

    Returns:
        float32 `(num_steps + 1,)`, strictly descending from `start` to 0.

    Raises:
        ValueError: an argument out of its range, or steps too short for float32 to tell apart.
    """
    _require_steps_and_start(num_steps, start)
    _require_shift(shift)
    before_shift = float(shift_sigmas(torch.tensor(start, dtype=torch.float64), 1 / shift))
    if table is None:
        sigmas = torch.linspace(before_shift, 0, num_steps + 1, dtype=torch.float64)
    else:
        sigmas = _equal_gain(table, num_steps, before_shift)
    return _finish(shift_sigmas(sigmas, shift), start)


def resample_below(sigmas: Tensor, start: float, num_steps: int) -> Tensor:
    """The part of a host's schedule below `start`, walked in `num_steps` steps; any schedule, exactly from `start`.

    The steps are equal in the schedule's index, from the place of `start` between two entries to the last one. So its
    shape is kept: of `make_sigmas(1000, shift=s)` this is `make_sigmas(num_steps, shift=s, start=start)`.

    Args:
        sigmas: `(n + 1,)`, descending to 0, dense (1000 steps, say); an entry that is repeated counts once.
        start: first sigma of the result, above 0 and at most `sigmas[0]`.
        num_steps: steps, at least 1.

    Returns:
        float32 `(num_steps + 1,)` on the device of `sigmas`, strictly descending from `start` to 0.

    Raises:
        ValueError: an argument out of its range, a schedule that does not descend to 0, or steps too short for float32
            to tell apart.
    """
    _require_steps(num_steps)
    dense = sigmas.detach().to("cpu", torch.float32).unique_consecutive()
    if sigmas.ndim != 1 or len(dense) < 2 or dense[-1] != 0 or not bool((dense[1:] < dense[:-1]).all()):
        ends = f"{dense[0]:g} to {dense[-1]:g}" if sigmas.numel() else "nothing to nothing"
        raise ValueError(
            f"sigmas of shape {tuple(sigmas.shape)} run from {ends}, expected one row that descends to 0 all the way: "
            "give the sigmas of a whole sampling run"
        )
    first = torch.tensor(start, dtype=torch.float32)  # or 0.7 would be above a first entry of 0.7
    if not 0 < first <= dense[0]:
        raise ValueError(
            f"start is {start}, expected a sigma above 0 and at most {dense[0]:g}, where this schedule begins: use a "
            "start within it"
        )
    dense, last = dense.double(), len(dense) - 1
    above = int((dense >= first).sum()) - 1
    part = float((dense[above] - first) / (dense[above] - dense[above + 1]))
    places = torch.linspace(above + part, last, num_steps + 1, dtype=torch.float64)
    index = places.long().clamp(max=last - 1)
    return _finish(torch.lerp(dense[index], dense[index + 1], places - index), start).to(sigmas.device)


def shift_sigmas(sigmas: Tensor, shift: float) -> Tensor:
    """`shift * sigma / (1 + (shift - 1) * sigma)` of each entry; 0 and 1 stay, `1 / shift` undoes it.

    Args:
        sigmas: noise levels in [0, 1], any shape, floating point.
        shift: above 0 and finite.

    Raises:
        ValueError: `shift` is 0, negative or not finite.
    """
    _require_shift(shift)
    # The same quotient as in the first line, written so that 1 stays exactly 1 in floating point.
    return shift * sigmas / (shift * sigmas + (1 - sigmas))


def detail_aware_sigmas(table: DetailTable, num_steps: int) -> Tensor:
    """The schedule on which every step gains the same share of `table`'s detail (ours).

    Ranges without gain are crossed within one step. Where the last range has none the last step is therefore a long
    one; the sampler `pndm` lowers its order there by itself.

    Returns:
        float32 `(num_steps + 1,)`, strictly descending from 1 to 0.

    Raises:
        ValueError: `num_steps` below 1, or all gain in so narrow a range that float32 cannot tell the steps apart.
    """
    return make_sigmas(num_steps, table=table)


def _equal_gain(table: DetailTable, num_steps: int, start: float) -> Tensor:
    """Sigmas from `start` to 0 with equal gains between them, float64; uniform where no gain is left below `start`."""
    gained = table.gain_above(start)
    if gained >= 1:
        return torch.linspace(start, 0, num_steps + 1, dtype=torch.float64)
    inner = torch.linspace(gained, 1, num_steps + 1, dtype=torch.float64)[1:-1]
    ends = torch.tensor([start, 0.0], dtype=torch.float64)
    return torch.cat([ends[:1], table.sigma_at(inner), ends[1:]])


def _finish(sigmas: Tensor, start: float) -> Tensor:
    """`sigmas` as float32 with exact ends. Raises ValueError where two entries have become one."""
    sigmas = sigmas.to(torch.float32)
    sigmas[0], sigmas[-1] = start, 0.0
    if not bool((sigmas[1:] < sigmas[:-1]).all()):
        raise ValueError(
            f"{len(sigmas) - 1} steps from sigma {start:g} include steps of length 0, expected strictly descending "
            "sigmas: use fewer steps, a shift nearer to 1 or a less concentrated detail table"
        )
    return sigmas


def _require_steps(num_steps: int) -> None:
    if num_steps < 1:
        raise ValueError(f"num_steps is {num_steps}, expected at least 1: choose how many steps to sample")


def _require_steps_and_start(num_steps: int, start: float) -> None:
    _require_steps(num_steps)
    if not 0 < start <= 1:
        raise ValueError(f"start is {start}, expected a sigma above 0 and at most 1: use 1 to start from pure noise")


def _require_shift(shift: float) -> None:
    if not (math.isfinite(shift) and shift > 0):
        raise ValueError(f"shift is {shift}, expected a finite number above 0: use 1 for no shift")
