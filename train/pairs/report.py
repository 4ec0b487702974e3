"""What became of the clips, as one HTML file without anything beside it: counts, reasons, histograms, pictures."""

from __future__ import annotations

import base64
import html
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from .prepare import DAMAGED, KEPT
from .stage import Stage
from .storage import write_durably

T = TypeVar("T")
MOST_PICTURES = {"prepare": 60, "degrade": 24, "encode": 0}
"""Pictures in a report, of kept and of left out clips each: of 840,000 clips nobody looks at all."""
MOST_NAMES = 500
_HISTOGRAMS = {
    "prepare": ("luma", "laplacian", "quality"),
    "degrade": ("motion",),
    "encode": ("std of clean", "std of flow", "std of synthetic", "std of both", "std of plain"),
}
_LABELS = {
    "luma": "mean luma",
    "laplacian": "Laplacian variance",
    "quality": "picture quality",
    "motion": "largest share of the picture that moves",
}
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1d2127;background:#fff}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .6rem}p.sub{color:#667;margin:.2rem 0 1.4rem}
.cards{display:flex;gap:1rem;flex-wrap:wrap}.card{border:1px solid #dde1e7;border-radius:8px;padding:.7rem 1.1rem}
.card b{display:block;font-size:1.5rem}table{border-collapse:collapse;margin-bottom:1rem}
td,th{text-align:left;padding:.25rem .9rem .25rem 0;
border-bottom:1px solid #e8ebef;vertical-align:top;overflow-wrap:anywhere}.grid{display:grid;gap:1rem;
grid-template-columns:repeat(auto-fill,minmax(13rem,1fr))}figure{margin:0}
figure img{width:100%;border-radius:6px;display:block}
figcaption{font-size:.82rem;color:#556;overflow-wrap:anywhere}.wide{grid-template-columns:1fr}.wide img{width:auto;
max-width:100%}.dropped img{opacity:.75}.chart{max-width:100%}
@media(prefers-color-scheme:dark){body{background:#15181d;color:#e6e8eb}.card,td,th{border-color:#333a44}
figcaption,p.sub{color:#9aa3af}.chart{background:#fff;border-radius:6px}}
"""


def write_report(stage: Stage) -> None:
    """Write `report.html` of a stage whose shards are all done.

    Raises:
        ValueError: a shard is missing.
        StorageError: the report cannot be written.
    """
    command = stage.settings["command"]
    items: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    shard_of: dict[str, int] = {}
    for shard in range(stage.shards):
        manifest = stage.read_manifest(shard)
        items += manifest["items"]
        samples += manifest["samples"]
        shard_of |= dict.fromkeys((_name(item) for item in manifest["items"]), shard)
    kept = [item for item in items if item["status"] == KEPT]
    left_out = [item for item in items if item["status"] != KEPT]
    size = sum(stage.tar(shard).stat().st_size for shard in range(stage.shards))
    cards = {
        "clips": len({item["clip"] for item in items}),
        "clips kept": len({item["clip"] for item in kept}),
        "clips left out": len({item["clip"] for item in left_out}),
        **_without_caption(kept),
        "samples": len(samples),
        "seconds of video": round(sum(s["frames"] / _rate(s["fps"]) for s in samples)),
        "MB in shards": f"{size / 1e6:.1f}",
    }
    parts = [
        f"<h1>{command}: {html.escape(stage.folder.name)}</h1>",
        f"<p class=sub>{stage.shards} shards, plan {stage.digest}</p>",
        "<div class=cards>" + "".join(f"<div class=card><b>{v}</b>{k}</div>" for k, v in cards.items()) + "</div>",
    ]
    if left_out:
        reasons = Counter(_reason(item) for item in left_out)
        parts += ["<h2>Why clips were left out</h2>", _table(("reason", "clips"), reasons.most_common())]
        rows = [(item["clip"], item["status"], item["reason"]) for item in left_out]
        parts.append(_table(("clip", "", "reason"), rows[:MOST_NAMES]))
        if len(rows) > MOST_NAMES:
            parts.append(f"<p>... and {len(rows) - MOST_NAMES} more, in the manifests beside this file.</p>")
    charts = _charts(command, items)
    if charts:
        parts += ["<h2>Distributions</h2>", f'<img class=chart alt="histograms" src="data:image/png;base64,{charts}">']
    most = MOST_PICTURES[command]
    parts += _pictures(stage, "Kept" if command == "prepare" else "Before and after", kept, shard_of, most)
    parts += _pictures(stage, "Left out", left_out, shard_of, most)
    body = "\n".join(parts)
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{command}</title><style>{_STYLE}</style>{body}</html>"
    )
    write_durably(stage.report, page.encode())


def _without_caption(kept: list[dict[str, Any]]) -> dict[str, int]:
    known = [item["has_caption"] for item in kept if "has_caption" in item]
    return {"kept without caption": known.count(False)} if known else {}


def _name(item: dict[str, Any]) -> str:
    return item.get("key", item["clip"])


def _rate(fps: str) -> float:
    top, _, bottom = fps.partition("/")
    return max(float(top) / float(bottom or 1), 1e-3)


def _reason(item: dict[str, Any]) -> str:
    return item["status"] if item["status"] == DAMAGED else item["reason"].partition(":")[0]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"<tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _spread(values: Sequence[T], most: int) -> list[T]:
    return list(values) if len(values) <= most else [values[k * len(values) // most] for k in range(most)]


def _pictures(stage: Stage, title: str, items: list[dict], shard_of: dict[str, int], most: int) -> list[str]:
    """Pictures of some items, read shard by shard."""
    figures, files = [], {}
    wide = stage.settings["command"] == "degrade"
    seen: set[str] = set()
    for item in items if most else []:
        if wide and item["clip"] in seen:  # only the first sample of a clip has a picture
            continue
        seen.add(item["clip"])
        figures.append(item)
    chosen = []
    for item in _spread(figures, most) if figures else []:
        shard = shard_of[_name(item)]
        if shard not in files:
            files = {shard: json.loads(stage.pictures(shard).read_bytes())}  # one at a time
        data = files[shard].get(_name(item))
        if data is None:
            continue
        text = item["clip"]
        if "luma" in item:
            text += f" · luma {item['luma']:.0f}, Laplacian {item['laplacian']:.0f}, samples {item['samples']}"
        if item.get("reason"):
            text += f" · {item['reason']}"
        if "motion" in item:
            text += f" · up to {100 * item['motion']:.0f} % of the picture moves"
        chosen.append(
            f'<figure><img loading=lazy alt="" src="data:image/jpeg;base64,{data}">'
            f"<figcaption>{html.escape(text)}</figcaption></figure>"
        )
    if not chosen:
        return []
    kind = "wide" if wide else "dropped" if title == "Left out" else ""
    return [f"<h2>{title}</h2>", f'<div class="grid {kind}">{"".join(chosen)}</div>']


def _charts(command: str, items: list[dict]) -> str | None:
    """Histograms as base64 PNG; kept and left out clips in two colours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in _HISTOGRAMS[command] if any(item.get(name) is not None for item in items)]
    if not names:
        return None
    figure = Figure(figsize=(4.2 * len(names), 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        groups: dict[str, list[float]] = {"kept": [], "left out": []}
        for item in items:
            if item.get(name) is not None:
                groups["kept" if item["status"] == KEPT else "left out"].append(item[name])
        shown = {label: values for label, values in groups.items() if values}
        colors = [{"kept": "#3b7dd8", "left out": "#e0823d"}[label] for label in shown]
        axes.hist(list(shown.values()), bins=30, stacked=True, label=list(shown), color=colors)
        axes.set_xlabel(_LABELS.get(name, name))
        axes.set_ylabel("clips" if command == "prepare" else "samples")
        if len(shown) > 1:
            axes.legend(frameon=False)
    data = io.BytesIO()
    FigureCanvasAgg(figure).print_png(data, metadata={"Software": None})
    return base64.b64encode(data.getvalue()).decode()
