"""Evaluations of whole runs, as the guidance counts them."""

from dataclasses import replace

import pytest

from gvr_core.bench.cases import Case
from gvr_core.bench.estimate import FORMS, model_seconds
from gvr_core.bench.forecast import count_evaluations, default_n_ref, make_forecast
from gvr_core.bench.results import make_sections
from gvr_core.bench.sizes import with_form
from gvr_core.guidance import MultiGuidance


@pytest.mark.parametrize(
    ("guidance", "has_text", "has_references", "counts"),
    [
        (MultiGuidance(s_txt=0, s_ref=0), True, True, (50, 0)),
        (MultiGuidance(s_ref=0), True, False, (0, 100)),
        (MultiGuidance(), True, True, (100, 15)),
        (MultiGuidance(n_ref=25), True, True, (100, 25)),
        (MultiGuidance(), False, True, (50, 15)),
        (MultiGuidance(n_ref=50), True, True, (100, 50)),
    ],
)
def test_evaluations_of_50_steps(guidance, has_text, has_references, counts):
    assert count_evaluations(guidance, 50, has_text=has_text, has_references=has_references) == counts


def test_runs_that_cannot_be():
    with pytest.raises(ValueError, match="number of steps is 0"):
        count_evaluations(MultiGuidance(n_ref=0), 0, has_text=True, has_references=True)
    with pytest.raises(ValueError, match="the run has only 10"):
        count_evaluations(MultiGuidance(n_ref=15), 10, has_text=True, has_references=True)


def test_the_share_of_the_steps_is_that_of_the_paper():
    assert (default_n_ref(50), default_n_ref(4), default_n_ref(1)) == (15, 1, 0)


def findings_of(size, made_findings):
    cases = [Case(operation="attention", config=with_form(size.config, form), grid=size.grid) for form in FORMS]
    cases += [Case(operation=name, config=size.config, grid=size.grid) for name in ("rest", "model")]
    return made_findings(size, dict.fromkeys(cases, 2.0))


def test_a_run_is_its_evaluations(small_size, made_findings):
    findings = findings_of(small_size(), made_findings)
    runs = make_forecast(findings, make_sections(findings)["model"], steps=50, n_ref=25)
    assert [(run.name, run.evaluations) for run in runs] == [
        ("no guidance", 50),
        ("text guidance", 100),
        ("text and reference guidance", 125),
    ]
    assert [run.seconds["sparse"] for run in runs] == pytest.approx([100.0, 200.0, 250.0])


def test_evaluations_without_references_are_cheaper(small_size, made_findings):
    size = small_size(references=4)
    findings = findings_of(size, made_findings)
    run = make_forecast(findings, make_sections(findings)["model"], steps=10, n_ref=5)[2]
    assert (run.with_references, run.without_references) == (20, 5)
    config = with_form(size.config, "sparse")
    whole = model_seconds(config, size.grid, findings.calibration)
    share = model_seconds(config, replace(size.grid, references=0), findings.calibration) / whole
    assert 0.2 < share < 0.9
    assert run.seconds["sparse"] == pytest.approx(2.0 * (20 + 5 * share))


def test_a_class_free_model_has_no_text_guidance(small_size, made_findings):
    findings = findings_of(small_size(text_dim=0), made_findings)
    runs = make_forecast(findings, make_sections(findings)["model"], steps=50, n_ref=15)
    assert [(run.name, run.evaluations) for run in runs] == [("no guidance", 50), ("reference guidance", 65)]


def test_what_does_not_fit_has_no_forecast(small_size, made_findings):
    size = small_size()
    findings = findings_of(size, made_findings)
    full = Case(operation="model", config=with_form(size.config, "full"), grid=size.grid)
    lost = made_findings(size, {**{e.case: e.timing.seconds for e in findings.measured.values()}, full: None})
    runs = make_forecast(lost, make_sections(lost)["model"], steps=50, n_ref=15)
    assert all(run.seconds["full"] is None and run.seconds["sparse"] is not None for run in runs)
