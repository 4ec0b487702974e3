"""AttentionConfig: what it accepts, and that it survives the checkpoint's JSON header."""

import json

import pytest

from gvr_core.attention import AttentionConfig


@pytest.mark.parametrize(
    "config",
    [AttentionConfig(), AttentionConfig(kind="sparse_local", window=(4, 6), top_k=3, unit=7, unit_shift=3)],
)
def test_a_config_survives_json(config):
    assert AttentionConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_absent_fields_take_their_defaults():
    assert AttentionConfig.from_dict({"unit": 5}) == AttentionConfig(unit=5)


def test_unknown_keys_are_refused():
    with pytest.raises(ValueError, match="unknown keys windows"):
        AttentionConfig.from_dict({"windows": [9, 12]})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "swin"}, "'swin', expected one of full, sparse_local"),
        ({"window": (9,)}, "expected .height, width."),
        ({"window": (0, 12)}, "expected .height, width."),
        ({"window": 9}, "expected .height, width."),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_k": 1.5}, "top_k is 1.5"),
        ({"unit": 1}, "unit is 1"),
        ({"unit": -5}, "unit is -5"),
        ({"unit": 5, "unit_shift": 0}, "unit_shift is 0, expected 1 to 4"),
        ({"unit": 5, "unit_shift": 5}, "unit_shift is 5, expected 1 to 4"),
    ],
)
def test_values_out_of_range_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        AttentionConfig.from_dict(values)
