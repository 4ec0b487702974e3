"""A table as Markdown: what it measured, and why it has not measured the rest."""

from __future__ import annotations

from collections.abc import Sequence

from .metric import BETTER, Column, Figure, Missing
from .registry import STANDARD
from .table import Table

LEGEND = "(+) more is better, (-) less is better, (1) nearer to 1 is better"


def format_table(table: Table) -> str:
    """The protocol's table if its four figures are there, the means of all other figures, and what is missing."""
    names = [column.name for column in table.columns]
    parts = []
    others = table.columns
    if set(STANDARD) <= set(names):
        parts.append(format_protocol(table))
        others = [column for column in table.columns if column.name not in STANDARD]
    if others:
        parts.append(format_means(table, others))
        parts.append(LEGEND)
    reasons = format_reasons(table)
    return "\n\n".join([*parts, reasons] if reasons else parts)


def format_protocol(table: Table) -> str:
    """A row per way, a column per clip and their mean, with PSNR / SSIM / energy / flicker in each cell."""
    columns = [next(c for c in table.columns if c.name == name) for name in STANDARD]
    clips = table.clips
    lines = [
        "| " + " / ".join(column.title for column in columns) + " | " + " | ".join(["mean", *clips]) + " |",
        "|---" * (len(clips) + 2) + "|",
    ]
    for row, figures in table.rows.items():
        cells = [table.mean(row), *(figures[clip] for clip in clips)]
        texts = [" / ".join(format_figure(cell[column.name], column) for column in columns) for cell in cells]
        if any(text != "- / - / - / -" for text in texts):
            lines.append(f"| {row} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def format_means(table: Table, columns: Sequence[Column]) -> str:
    """A row per way, a column per figure: the mean over the clips."""
    lines = [
        f"| mean of {len(table.clips)} clips | "
        + " | ".join(f"{column.title} ({BETTER[column.better]})" for column in columns)
        + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for row in table.rows:
        mean = table.mean(row)
        lines.append(f"| {row} | " + " | ".join(format_figure(mean[c.name], c) for c in columns) + " |")
    return "\n".join(lines)


def format_reasons(table: Table) -> str:
    """Why there is a "-": a line for each column and reason, with the rows where it is not the same in all; or ""."""
    lines = []
    means = {row: table.mean(row) for row in table.rows}
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for column in table.columns:
        of_reason: dict[str, list[str]] = {}
        for row, mean in means.items():
            if isinstance(figure := mean[column.name], Missing):
                of_reason.setdefault(figure.reason, []).append(row)
        for reason, rows in of_reason.items():
            groups.setdefault((reason, tuple(rows)), []).append(column.title)
    for (reason, rows), titles in groups.items():
        where = "" if len(rows) == len(means) else f" of {', '.join(rows)}"
        lines.append(f"- {', '.join(titles)}{where}: {reason}")
    return "Not measured (-):\n" + "\n".join(lines) if lines else ""


def format_figure(figure: Figure, column: Column) -> str:
    """A number with the column's decimals, "-" for what is missing."""
    return "-" if isinstance(figure, Missing) else f"{figure:.{column.digits}f}"
