"""Tables as Markdown, JSON and a plot: nothing that was not measured becomes a number."""

import json
import math

import cv2
import pytest

from train.evaluation.document import make_document, write_document
from train.evaluation.markdown import format_table
from train.evaluation.metric import Missing
from train.evaluation.plot import plot_table
from train.evaluation.registry import Tools, resolve_metrics
from train.evaluation.table import Table

NO = Missing("install it")


@pytest.fixture
def table():
    metrics, _ = resolve_metrics(["psnr", "seam:8", "piqe", "drift"], Tools())
    rows = {
        "ours": {
            "a": {"psnr": 30.0, "seam:8": 1.25, "piqe": NO, "drift": 1.0},
            "b": {"psnr": 40.0, "seam:8": 1.75, "piqe": NO, "drift": Missing("one frame")},
        },
        "same": {
            "a": {"psnr": math.inf, "seam:8": 1.0, "piqe": NO, "drift": 0.0},
            "b": {"psnr": math.inf, "seam:8": 1.0, "piqe": NO, "drift": 0.0},
        },
    }
    return Table([metric.column for metric in metrics], rows)


def test_means(table):
    mean = table.mean("ours")
    assert (mean["psnr"], mean["seam:8"], mean["piqe"]) == (35.0, 1.5, NO)
    assert mean["drift"].reason == "missing on 1 of 2 clips: one frame"
    assert table.clips == ["a", "b"]


def test_markdown(table):
    assert format_table(table).splitlines() == [
        "| mean of 2 clips | PSNR dB (+) | seams 8 px (1) | PIQE (-) | colour drift (-) |",
        "|---|---|---|---|---|",
        "| ours | 35.00 | 1.50 | - | - |",
        "| same | inf | 1.00 | - | 0.00 |",
        "",
        "(+) more is better, (-) less is better, (1) nearer to 1 is better",
        "",
        "Not measured (-):",
        "- PIQE: install it",
        "- colour drift of ours: missing on 1 of 2 clips: one frame",
    ]


def test_json(table, tmp_path):
    path = tmp_path / "new" / "table.json"
    write_document(path, make_document(table, {"seed": 3}))
    document = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert (document["schema"], document["schema_version"], document["settings"]) == ("gvr-evaluation", 1, {"seed": 3})
    assert [metric["name"] for metric in document["metrics"]] == ["psnr", "seam:8", "piqe", "drift"]
    assert all(metric.keys() == {"name", "title", "better", "about"} for metric in document["metrics"])
    assert document["versions"]["torch"]
    assert "pyiqa" in document["versions"]  # null where it is not installed
    assert document["rows"]["ours"]["clips"]["b"] == {"psnr": 40.0, "seam:8": 1.75, "piqe": None, "drift": None}
    assert document["rows"]["ours"]["mean"]["psnr"] == 35.0
    assert document["reasons"]["ours"]["clips"]["b"] == {"piqe": "install it", "drift": "one frame"}
    assert document["reasons"]["same"]["mean"] == {
        "psnr": "infinite: every pixel equals the original's",
        "piqe": "install it",
    }


def test_every_null_has_a_reason(table):
    document = make_document(table, {})
    for row, parts in document["rows"].items():
        reasons = document["reasons"][row]
        cells = [(parts["mean"], reasons["mean"]), *((parts["clips"][c], reasons["clips"][c]) for c in parts["clips"])]
        for numbers, texts in cells:
            assert {name for name, value in numbers.items() if value is None} == texts.keys()


def test_the_plot_is_a_picture_and_needs_a_number(table, tmp_path):
    plot_table(table, tmp_path / "new" / "plot.png")
    picture = cv2.imread(str(tmp_path / "new" / "plot.png"))
    assert min(picture.shape[:2]) > 100
    nothing = Table(table.columns, {"ours": {"a": dict.fromkeys(("psnr", "seam:8", "piqe", "drift"), NO)}})
    with pytest.raises(ValueError, match="not one number to plot"):
        plot_table(nothing, tmp_path / "plot.png")
