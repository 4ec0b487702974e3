from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gvr_core.guidance import MultiGuidance, guided

PREDICTIONS = {
    (text, references): torch.randn(1, 2, 3, 4, 4, generator=torch.Generator().manual_seed(2 * text + references))
    for text in (False, True)
    for references in (False, True)
}
TXT_REF, NULL_REF, TXT_NULL, NULL_NULL = (PREDICTIONS[key] for key in ((1, 1), (0, 1), (1, 0), (0, 0)))


class Counter:
    """A model with fixed predictions that remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[bool, bool]] = []

    def __call__(self, text: bool, references: bool) -> Tensor:
        self.asked.append((text, references))
        return PREDICTIONS[text, references]


def run(guidance: MultiGuidance, num_steps: int, has_text: bool, has_references: bool) -> int:
    counter = Counter()
    for step in range(num_steps):
        guided(counter, guidance, step, has_text, has_references)
    return len(counter.asked)


def test_defaults_are_the_papers() -> None:
    assert MultiGuidance() == MultiGuidance(s_txt=3.0, s_ref=1.0, n_ref=15)


@given(s_txt=st.floats(0, 10), s_ref=st.floats(0, 10), n_ref=st.integers(0, 20), step=st.integers(0, 20))
@settings(deadline=None)
def test_formula(s_txt: float, s_ref: float, n_ref: int, step: int) -> None:
    guidance = MultiGuidance(s_txt=s_txt, s_ref=s_ref, n_ref=n_ref)
    got = guided(Counter(), guidance, step, True, True)
    expected = TXT_REF + s_txt * (TXT_REF - NULL_REF) + (step < n_ref) * s_ref * (TXT_REF - TXT_NULL)
    torch.testing.assert_close(got, expected)


def test_text_scale_equals_a_conventional_scale_one_higher() -> None:
    conventional = NULL_NULL + 4.0 * (TXT_NULL - NULL_NULL)
    torch.testing.assert_close(guided(Counter(), MultiGuidance(s_txt=3.0), 0, True, False), conventional)


@pytest.mark.parametrize(
    ("scales", "has_text", "has_references", "evaluations"),
    [
        ({}, True, True, 15 * 3 + 35 * 2),
        ({}, True, False, 100),
        ({}, False, True, 15 * 2 + 35),
        ({}, False, False, 50),
        ({"s_txt": 0}, True, True, 65),
        ({"s_ref": 0}, True, True, 100),
        ({"n_ref": 0}, True, True, 100),
        ({"n_ref": 50}, True, True, 150),
        ({"s_txt": 0, "s_ref": 0}, True, True, 50),
    ],
)
def test_evaluations_of_50_steps(scales: dict, has_text: bool, has_references: bool, evaluations: int) -> None:
    assert run(MultiGuidance(**scales), 50, has_text, has_references) == evaluations


def test_defaults_cost_115_evaluations() -> None:
    assert run(MultiGuidance(), 50, True, True) == 115


@pytest.mark.parametrize("has_references", [True, False])
@pytest.mark.parametrize("has_text", [True, False])
@pytest.mark.parametrize("step", [0, 14, 15, 49])
def test_only_the_predictions_of_the_run_are_asked_for_each_once(
    step: int, has_text: bool, has_references: bool
) -> None:
    counter = Counter()
    guided(counter, MultiGuidance(), step, has_text, has_references)
    expected = MultiGuidance().evaluations(step, has_text=has_text, has_references=has_references)
    assert tuple(counter.asked) == expected
    assert expected[0] == (has_text, has_references)
    assert len(set(expected)) == len(expected)
    assert not any((text and not has_text) or (ref and not has_references) for text, ref in expected)


def test_missing_conditions_drop_their_terms() -> None:
    guidance = MultiGuidance()
    without_text = NULL_REF + 1.0 * (NULL_REF - NULL_NULL)
    torch.testing.assert_close(guided(Counter(), guidance, 0, False, True), without_text)
    assert torch.equal(guided(Counter(), guidance, 0, False, False), NULL_NULL)


def test_all_off_is_the_main_prediction_itself() -> None:
    assert torch.equal(guided(Counter(), MultiGuidance(s_txt=0, s_ref=0), 0, True, True), TXT_REF)


def test_half_precision_is_combined_in_float32() -> None:
    halves = {key: value.to(torch.bfloat16) for key, value in PREDICTIONS.items()}
    guidance = MultiGuidance()
    got = guidance.combine(halves, 0, has_text=True, has_references=True)
    exact = guidance.combine({k: v.float() for k, v in halves.items()}, 0, has_text=True, has_references=True)
    assert torch.equal(got, exact.to(torch.bfloat16))


@pytest.mark.parametrize("name", ["s_txt", "s_ref"])
@pytest.mark.parametrize("scale", [-0.1, math.nan, math.inf])
def test_invalid_scales(name: str, scale: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is .*finite number of at least 0"):
        MultiGuidance(**{name: scale})


def test_invalid_threshold() -> None:
    with pytest.raises(ValueError, match="n_ref is -1"):
        MultiGuidance(n_ref=-1)


def test_run_shorter_than_the_threshold_names_both_numbers() -> None:
    with pytest.raises(
        ValueError, match=r"first 15 steps \(n_ref\) but the run has only 10: lower n_ref to at most 10"
    ):
        MultiGuidance().validate(10)
    MultiGuidance().validate(15)
