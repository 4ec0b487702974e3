"""Runs that a user has made, watched while they ran, as a calibration: no benchmark has to be waited for.

An observation is one evaluation of the model with the time of its attention and of everything else apart, because the
two grow differently with the size. Their shares of the machine's limit carry over to other sizes, see `estimate`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..attention import TokenGrid
from ..models.dit_config import DiTConfig
from .counts import attention_cost, outside_cost, rest_cost
from .estimate import REST, Calibration, form_of, itemsize_of, token_bytes
from .limit import Rates, work_seconds


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One evaluation of the model, inside a real run.

    Attributes:
        config: of the model, with the attention that ran.
        grid: tokens.
        batch: samples evaluated together.
        attention: seconds of the self-attention operation, summed over the layers of each form.
        rest: seconds of everything else up to the start of the next evaluation.
        extra_bytes: peak memory beyond what was there before, None where unknown.
    """

    config: DiTConfig
    grid: TokenGrid
    batch: int
    attention: Mapping[str, float]
    rest: float
    extra_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A calibration from real runs, and how much it is worth.

    Attributes:
        calibration: of the machine.
        dim: channels of the model's tokens: shares of the limit do not carry over to other widths as well.
        work: of the evaluations behind each share, in seconds at the machine's limit; the largest so far.
        runs: how many runs it is made of.
    """

    calibration: Calibration
    dim: int
    work: Mapping[str, float] = field(default_factory=dict)
    runs: int = 1


def layer_form(config: DiTConfig, layer: int) -> str:
    """The form that runs in block `layer`."""
    return "full" if layer in config.attention.dense_layers else form_of(config.attention)


def observe(observations: Sequence[Observation], *, machine: str, dtype: str, rates: Rates) -> Observed | None:
    """The calibration of one run; None for a run that tells nothing.

    Args:
        observations: evaluations of one model with one dtype.
        machine: name of the device.
        dtype: of the computation.
        rates: what the machine reaches; only their ratio matters for times of other sizes.
    """
    itemsize = itemsize_of(dtype)
    work: dict[str, float] = {}
    spent: dict[str, float] = {}
    extra: dict[str, float] = {}
    for seen in observations:
        config, grid = seen.config, seen.grid
        for layer in range(config.num_layers):
            cost = attention_cost(config, grid, itemsize, layer)
            form = layer_form(config, layer)
            work[form] = work.get(form, 0.0) + seen.batch * work_seconds(cost, rates)
        rest = work_seconds(outside_cost(config, grid, itemsize), rates)
        rest += config.num_layers * work_seconds(rest_cost(config, grid, itemsize), rates)
        work[REST] = work.get(REST, 0.0) + seen.batch * rest
        for form, seconds in {**seen.attention, REST: seen.rest}.items():
            spent[form] = spent.get(form, 0.0) + seconds
        if seen.extra_bytes:
            # The tokens themselves are counted apart.
            tensors = seen.extra_bytes / (seen.batch * token_bytes(config, grid, dtype)) - 1
            form = form_of(config.attention)
            extra[form] = max(extra.get(form, 0.0), tensors)
    achieved = {form: work[form] / spent[form] for form in work if spent.get(form, 0.0) > 0}
    if REST not in achieved or len(achieved) < 2:
        return None
    return Observed(
        calibration=Calibration(
            machine=machine,
            dtype=dtype,
            rates=rates,
            achieved=achieved,
            extra_memory={form: tensors for form, tensors in extra.items() if tensors > 0},
        ),
        dim=observations[0].config.dim,
        work={form: work[form] / len(observations) for form in achieved},
    )


def merge(old: Observed, new: Observed) -> Observed:
    """Both together, weighed by work: of equals half each, and a small video hardly changes what a large one told.

    Raises:
        ValueError: they are of different machines, dtypes or widths.
    """
    mine, other = new.calibration, old.calibration
    for name, a, b in (
        ("machine", other.machine, mine.machine),
        ("dtype", other.dtype, mine.dtype),
        ("dim", old.dim, new.dim),
    ):
        if a != b:
            raise ValueError(f"calibrations have {name} {a} and {b}, expected the same: keep them apart")
    achieved, work = dict(other.achieved), dict(old.work)
    # Shares are of the old rates: those of the new run are brought to the same yardstick.
    for form, share in mine.achieved.items():
        scale = mine.rates.matmul_flops / other.rates.matmul_flops
        share *= scale
        before, after = old.work.get(form, 0.0), new.work[form] * scale
        if form in achieved and before > 0:
            part = after / (after + before)
            share = math.exp((1 - part) * math.log(achieved[form]) + part * math.log(share))
        achieved[form], work[form] = share, max(before, after)
    # Peaks are of the largest run that said anything, and never an average.
    memory = {**other.extra_memory, **mine.extra_memory}
    return Observed(
        calibration=replace(other, achieved=achieved, extra_memory=memory),
        dim=new.dim,
        work=work,
        runs=old.runs + new.runs,
    )
