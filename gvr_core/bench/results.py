"""The tables' figures, each marked as measured or extrapolated.

Measured is what was run here at exactly the size that was asked for. Everything else is extrapolated: by counted
FLOPs from a smaller case of the same operation (exactly linear in heads), or as the sum of parts that were measured
apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .cases import Case, Operation
from .counts import count_parameters
from .estimate import (
    FORMS,
    Form,
    attention_seconds,
    block_extra_bytes,
    block_seconds,
    model_bytes,
    model_seconds,
    needed_shares,
    token_bytes,
)
from .findings import Findings
from .limit import is_memory_bound, limit_seconds
from .sizes import whole_case

OPERATIONS: tuple[Operation, ...] = ("attention", "block", "model")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number and where it comes from.

    Attributes:
        value: None where it is unknown.
        measured: False for an extrapolation.
    """

    value: float | None
    measured: bool


UNKNOWN = Figure(value=None, measured=False)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One operation in one form.

    Attributes:
        seconds: of one call.
        extra_bytes: peak memory beyond inputs and weights; of the model with its weights.
        limit_share: limit / time, 1 is as fast as the machine can be; of the case that was run.
        is_memory_bound: the limit is that of copies, not of matrix products.
        case: what was run for it, None where it was put together from parts.
        runs: of that.
        is_out_of_memory: it was tried and did not fit.
    """

    seconds: Figure
    extra_bytes: Figure
    limit_share: Figure
    is_memory_bound: bool = False
    case: Case | None = None
    runs: int = 0
    is_out_of_memory: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """One operation in every form.

    Attributes:
        rows: by form.
        extra_memory_ratio: extra peak memory of sparse local attention / bytes of one query tensor.
    """

    rows: Mapping[Form, Row]
    extra_memory_ratio: Figure

    def ratio(self, form: Form = "sparse") -> Figure:
        """How many times faster than full attention."""
        full, other = self.rows["full"].seconds, self.rows[form].seconds
        if full.value is None or other.value is None:
            return UNKNOWN
        return Figure(value=full.value / other.value, measured=full.measured and other.measured)


def make_sections(findings: Findings) -> dict[Operation, Section]:
    """The section of each operation; attention alone if nothing else was measured."""
    has_blocks = any(operation == "rest" for operation, _ in findings.measured)
    operations = OPERATIONS if has_blocks else OPERATIONS[:1]
    return {
        operation: Section(
            rows={form: _row(findings, operation, form) for form in FORMS},
            extra_memory_ratio=_extra_memory_ratio(findings, operation),
        )
        for operation in operations
    }


def _row(findings: Findings, operation: Operation, form: Form) -> Row:
    itemsize = findings.itemsize
    whole = whole_case(findings.size, operation, form)
    entry = findings.measured.get((operation, form))
    if entry is not None and entry.timing.seconds is None:
        return Row(seconds=UNKNOWN, extra_bytes=UNKNOWN, limit_share=UNKNOWN, case=entry.case, is_out_of_memory=True)
    if entry is None:
        seconds = _composed_seconds(findings, whole)
        if seconds is None:
            lost = findings.measured["attention", form].timing.seconds is None
            return Row(seconds=UNKNOWN, extra_bytes=UNKNOWN, limit_share=UNKNOWN, is_out_of_memory=lost)
        share = limit_seconds(whole.cost(itemsize), findings.rates) / seconds
        return Row(
            seconds=Figure(value=seconds, measured=False),
            extra_bytes=_bytes(findings, whole),
            limit_share=Figure(value=share, measured=False),
            is_memory_bound=is_memory_bound(whole.cost(itemsize), findings.rates),
        )
    is_whole = entry.case == whole
    timing, cost = entry.timing, entry.case.cost(itemsize)
    seconds = timing.seconds
    if not is_whole:
        seconds = attention_seconds(whole.config, whole.grid, findings.calibration)
    return Row(
        seconds=Figure(value=seconds, measured=is_whole),
        extra_bytes=_bytes(findings, whole),
        limit_share=Figure(value=limit_seconds(cost, findings.rates) / timing.seconds, measured=is_whole),
        is_memory_bound=is_memory_bound(cost, findings.rates),
        case=entry.case,
        runs=timing.runs,
    )


def _composed_seconds(findings: Findings, whole: Case) -> float | None:
    """Seconds of a block or model that was not run; None if its attention had not enough memory."""
    calibration = findings.calibration
    if not needed_shares(whole.config) <= set(calibration.achieved):
        return None
    if whole.operation == "block":
        return block_seconds(whole.config, whole.grid, calibration)
    seconds = model_seconds(whole.config, whole.grid, calibration)
    block = findings.measured.get(("block", whole.form))
    if block is not None and block.timing.seconds is not None:
        # Blocks as they were measured; the estimate only says how odd layers and the embeddings differ from block 0.
        seconds *= block.timing.seconds / block_seconds(block.case.config, block.case.grid, calibration)
    return seconds


def _bytes(findings: Findings, whole: Case) -> Figure:
    """Peak bytes beyond inputs and weights; of a model with its weights."""
    case, peak = findings.peaks.get((whole.operation, whole.form), (None, None))
    tensors = token_bytes(whole.config, whole.grid, findings.dtype)
    if peak is not None:
        value = peak if case == whole else findings.peak_tensors(whole.operation, whole.form) * tensors
        weights = count_parameters(whole.config) * findings.itemsize if whole.operation == "model" else 0
        return Figure(value=value + weights, measured=case == whole)
    calibration = findings.calibration
    if whole.operation == "attention" or whole.form not in calibration.extra_memory:
        return UNKNOWN
    size_bytes = block_extra_bytes if whole.operation == "block" else model_bytes
    return Figure(value=size_bytes(whole.config, whole.grid, calibration), measured=False)


def _extra_memory_ratio(findings: Findings, operation: Operation) -> Figure:
    whole = whole_case(findings.size, operation, "sparse")
    # A model needs most inside a block.
    for name in (operation, "block") if operation == "model" else (operation,):
        ratio = findings.peak_tensors(name, "sparse")
        if ratio is not None:
            return Figure(value=ratio, measured=findings.peaks[name, "sparse"][0] == whole)
    if operation == "attention":
        return UNKNOWN
    return Figure(value=findings.calibration.extra_memory.get("sparse"), measured=False)
