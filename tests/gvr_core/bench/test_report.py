"""What people and programs are told: extrapolations are marked, memory that ran out is said."""

import json

import pytest

from gvr_core.bench.cases import Case
from gvr_core.bench.estimate import FORMS
from gvr_core.bench.forecast import make_forecast
from gvr_core.bench.report import (
    findings_values,
    forecast_values,
    format_forecast,
    format_head,
    format_sections,
    section_values,
    sections_values,
)
from gvr_core.bench.results import make_sections
from gvr_core.bench.sizes import with_form


@pytest.fixture
def findings(small_size, made_findings):
    size = small_size(frames=37, references=1)

    def case(operation, form):
        return Case(operation=operation, config=with_form(size.config, form), grid=size.grid)

    measured = {case("attention", form): seconds for form, seconds in zip(FORMS, (8.0, 4.0, 0.002), strict=True)}
    measured |= {case("rest", "full"): 1.0, case("block", "sparse"): 1.5, case("model", "full"): None}
    return made_findings(size, measured, {case("attention", "sparse"): 2**21})


def test_a_table_marks_what_was_not_measured(findings):
    lines = format_sections(make_sections(findings)).splitlines()
    attention, block, model = lines[1:4], lines[4:7], lines[7:10]
    assert attention[0].split()[:4] == ["attention", "full", "8", "s"]
    assert attention[2].split()[:3] == ["sparse", "2", "ms"]
    assert "4e+03x" in attention[2]
    assert "~" not in "".join(attention)
    assert block[0].split()[:4] == ["block", "full", "~9", "s"]
    assert block[2].split()[:3] == ["sparse", "1.5", "s"]
    assert "~6x" in block[2]
    assert "out of memory" in model[0]
    assert "~" in model[2]
    assert lines[10].startswith("extra memory of sparse / one query tensor: attention ")


def test_values_say_of_each_figure_whether_it_was_measured(findings):
    values = sections_values(make_sections(findings))
    attention, block, model = (values[name] for name in ("attention", "block", "model"))
    assert [attention[name] for name in ("full_s", "units_s", "sparse_s", "ratio")] == [8.0, 4.0, 0.002, 4000]
    assert all(attention["measured"][name] for name in ("full_s", "units_s", "sparse_s", "ratio", "limit_share"))
    assert attention["measured"]["full_bytes"] is False
    assert attention["full_bytes"] is None
    assert [block["measured"][name] for name in ("sparse_s", "full_s", "ratio")] == [True, False, False]
    assert (model["full_s"], model["ratio"], model["out_of_memory"]) == (None, None, ["full"])
    assert attention["cases"]["sparse"] == {"size": "10+1x4x6, 2 heads", "runs": 1}
    assert json.loads(json.dumps(values)) == values


def test_an_operation_that_was_not_asked_for_is_none(findings):
    sections = make_sections(findings)
    values = sections_values({"attention": sections["attention"]})
    assert values["block"] is values["model"] is None
    assert values["attention"] == section_values(sections["attention"])


def test_the_head_names_machine_and_size(findings):
    head = format_head(findings)
    assert "paper machine, 2 threads, float32" in head
    assert "37 frames + 1 references, 96 x 64: (10 + 1) x 4 x 6 tokens = 264" in head
    assert "windows of 2 x 3 tokens, its own and the best 1" in head
    values = findings_values(findings)
    assert values["machine"]["dtype"] == "float32"
    assert (values["size"]["tokens"], values["size"]["grid"]) == (264, [10, 4, 6])
    assert values["forms"]["sparse"]["window"] == [2, 3]


def test_a_busy_machine_is_said_to_be(findings, made_findings):
    assert "BUSY" not in format_head(findings)
    assert "BUSY" not in format_head(made_findings(findings.size, {}, load=None))
    assert "BUSY: 1.5 programs were running on 2 cores" in format_head(made_findings(findings.size, {}, load=1.5))


def test_a_forecast_is_an_extrapolation(findings):
    runs = make_forecast(findings, make_sections(findings)["model"], steps=50, n_ref=15)
    text = format_forecast(runs, 50)
    assert "115 evaluations" in text
    assert text.count("sparse ~") == 3
    assert "full" not in text
    values = forecast_values(runs, 50)
    assert values["measured"] is False
    assert [run["evaluations"] for run in values["runs"]] == [50, 100, 115]
    assert values["runs"][0]["full_s"] is None
