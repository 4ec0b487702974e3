"""The findings as one JSON object and as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .cases import Operation
from .estimate import FORMS
from .findings import Findings
from .forecast import Run
from .results import OPERATIONS, Figure, Row, Section
from .sizes import with_form

HEADINGS = ("", "", "time", "speed", "of limit", "memory", "run")
SIDES = "<<>>>><"
BUSY = 0.3
"""Running programs for each core from which on times on a CPU are not to be trusted."""


def findings_values(findings: Findings) -> dict[str, Any]:
    """What was asked for, of which machine; plain values."""
    size, rates = findings.size, findings.rates
    grid = size.grid
    return {
        "machine": {
            **findings.machine,
            "dtype": findings.dtype,
            "matmul_flops": _rounded(rates.matmul_flops),
            "copy_bytes_per_s": _rounded(rates.copy_bytes_per_s),
        },
        "size": {
            "frames": size.frames,
            "height": size.height,
            "width": size.width,
            "references": size.references,
            "grid": [grid.frames, grid.height, grid.width],
            "tokens": grid.length,
            "heads": size.config.num_heads,
            "head_dim": size.config.head_dim,
            "layers": size.config.num_layers,
        },
        "forms": {form: with_form(size.config, form).attention.to_dict() for form in FORMS},
    }


def section_values(section: Section) -> dict[str, Any]:
    """One section as plain values; `measured` says of each figure whether it is one or an extrapolation."""
    rows, sparse = section.rows, section.rows["sparse"]
    figures = {f"{form}_s": rows[form].seconds for form in FORMS}
    figures |= {
        "ratio": section.ratio(),
        "limit_share": sparse.limit_share,
        "extra_memory_ratio": section.extra_memory_ratio,
    }
    figures |= {f"{form}_bytes": rows[form].extra_bytes for form in FORMS}
    figures |= {f"{form}_limit_share": rows[form].limit_share for form in FORMS}
    return {
        **{name: _rounded(figure.value) for name, figure in figures.items()},
        "measured": {name: figure.measured for name, figure in figures.items()},
        "memory_bound": [form for form in FORMS if rows[form].is_memory_bound],
        "out_of_memory": [form for form in FORMS if rows[form].is_out_of_memory],
        "cases": {
            form: {"size": row.case.size, "runs": row.runs} for form, row in rows.items() if row.case is not None
        },
    }


def sections_values(sections: Mapping[Operation, Section]) -> dict[str, Any]:
    """All sections; None for an operation that was not asked for."""
    return {name: section_values(sections[name]) if name in sections else None for name in OPERATIONS}


def forecast_values(runs: Sequence[Run], steps: int) -> dict[str, Any]:
    """The forecast as plain values; every time in it is an extrapolation."""
    return {
        "steps": steps,
        "measured": False,
        "runs": [
            {
                "guidance": run.name,
                "evaluations": run.evaluations,
                "with_references": run.with_references,
                **{f"{form}_s": _rounded(run.seconds[form]) for form in FORMS},
            }
            for run in runs
        ],
    }


def format_head(findings: Findings) -> str:
    """Machine and size, for people."""
    size, machine, rates = findings.size, findings.machine, findings.rates
    grid, config = size.grid, size.config
    references = f" + {size.references} references" if size.references else ""
    frames = f"({grid.frames} + {grid.references})" if grid.references else f"{grid.frames}"
    return (
        f"{machine['device']}, {machine['threads']} threads, {findings.dtype}, PyTorch {machine['torch']}\n"
        f"{_describe_load(machine)}"
        f"measured in turn: matrix product {rates.matmul_flops / 1e12:.3g} TFLOP/s, "
        f"copy {rates.copy_bytes_per_s / 1e9:.3g} GB/s\n"
        f"{_describe_forms(findings)}\n"
        f"{size.frames} frames{references}, {size.width} x {size.height}: {frames} x {grid.height} x {grid.width} "
        f"tokens = {grid.length:,}; {config.num_heads} heads of {config.head_dim}, {config.num_layers} layers"
    )


def format_sections(sections: Mapping[Operation, Section]) -> str:
    """The table of all sections, for people."""
    lines = [HEADINGS]
    for operation, section in sections.items():
        for form in FORMS:
            label = operation if form == FORMS[0] else ""
            lines.append((label, form, *_cells(section.rows[form], section.ratio(form))))
    places = [f"{sides}{max(map(len, column))}" for sides, column in zip(SIDES, zip(*lines, strict=True), strict=True)]
    table = ["  ".join(f"{cell:{place}}" for cell, place in zip(line, places, strict=True)) for line in lines]
    extra = ", ".join(f"{name} {_marked(section.extra_memory_ratio, '{:.1f}x')}" for name, section in sections.items())
    return "\n".join([line.rstrip() for line in table] + [f"extra memory of sparse / one query tensor: {extra}"])


def format_forecast(runs: Sequence[Run], steps: int) -> str:
    """The forecast, for people."""
    lines = [f"a run of {steps} steps, without text encoder and autoencoder:"]
    for run in runs:
        times = ", ".join(f"{form} ~{_duration(run.seconds[form])}" for form in FORMS if run.seconds[form] is not None)
        lines.append(f"  {run.name}, {run.evaluations} evaluations: {times or 'unknown'}")
    return "\n".join(lines)


def _describe_forms(findings: Findings) -> str:
    units, sparse = (with_form(findings.size.config, form).attention for form in ("units", "sparse"))
    inside = f" inside units of {sparse.unit}" if sparse.unit else ""
    rows, columns = sparse.window
    return (
        f"units: {units.unit} latent frames; sparse: windows of {rows} x {columns} tokens, "
        f"its own and the best {sparse.top_k}{inside}"
    )


def _describe_load(machine: Mapping[str, Any]) -> str:
    """A warning where other programs are running: small operations on several threads suffer most."""
    load, cores = machine["load"], machine["cores"]
    if machine["kind"] != "cpu" or load is None or cores is None or load < BUSY * cores:
        return ""
    return f"BUSY: {load:.1f} programs were running on {cores} cores before the start, times may be far too long\n"


def _cells(row: Row, ratio: Figure) -> tuple[str, ...]:
    if row.is_out_of_memory:
        return "out of memory", "", "", "", "" if row.case is None else row.case.size
    case = "parts" if row.case is None else f"{row.case.size}, best of {row.runs}"
    seconds = _mark(row.seconds) + _duration(row.seconds.value)
    gigabytes = Figure(
        value=None if row.extra_bytes.value is None else row.extra_bytes.value / 2**30,
        measured=row.extra_bytes.measured,
    )
    limit = _marked(row.limit_share, "{:.0%}") + (" (copies)" if row.is_memory_bound else "")
    return seconds, _marked(ratio, "{:.3g}x"), limit, _marked(gigabytes, "{:.2f} GiB"), case


def _marked(figure: Figure, pattern: str) -> str:
    return "unknown" if figure.value is None else _mark(figure) + pattern.format(figure.value)


def _mark(figure: Figure) -> str:
    return "" if figure.measured or figure.value is None else "~"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    for limit, unit, name in ((1.0, 1e-3, "ms"), (600.0, 1.0, "s"), (36000.0, 60.0, "min")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 3600:,.0f} h"


def _rounded(value: float | None) -> float | None:
    """Four digits: more would be noise."""
    return None if value is None else float(f"{value:.4g}")
