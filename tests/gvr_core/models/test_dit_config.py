from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gvr_core.attention import AttentionConfig
from gvr_core.models.dit_config import DiTConfig
from gvr_core.references import ReferenceRanges

from .small_dit import CASCADE

CONFIG = replace(
    CASCADE,
    num_layers=3,
    attention=AttentionConfig(kind="sparse_local", window=(3, 4), unit=5),
    reference_ranges=ReferenceRanges(max_images=4),
    residual_std=(0.5,) * 16,
)


def test_survives_json():
    for config in (CONFIG, replace(CONFIG, residual_std=None)):
        assert DiTConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_all_wrong_keys_are_named():
    values = CONFIG.to_dict() | {"depth": 3, "heads": 2}
    del values["dim"], values["eps"]
    with pytest.raises(ValueError, match=r"unknown depth, unknown heads, missing dim, missing eps"):
        DiTConfig.from_dict(values)


@pytest.mark.parametrize(
    ("part", "message"),
    [("attention", "unknown keys colour"), ("reference_ranges", "unknown colour, missing image_start")],
)
def test_wrong_keys_of_a_part_are_named(part, message):
    values = CONFIG.to_dict()
    values[part] = {**values[part], "colour": 1}
    del values[part][next(iter(values[part]))]
    with pytest.raises(ValueError, match=message):
        DiTConfig.from_dict(values)
    with pytest.raises(ValueError, match="expected named values"):
        DiTConfig.from_dict(CONFIG.to_dict() | {part: None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": "sdxl"}, "'sdxl' is not known"),
        ({"latent_channels": 12}, "latent_channels = 12, expected 16 for 'wan21'"),
        ({"condition_channels": 8}, "condition_channels = 8, expected 16 for a cascade or 0"),
        ({"condition_channels": False}, "condition_channels = False"),
        ({"condition_channels": 0}, "condition_channels = 0, expected the latent's, because residual_std is set"),
        ({"dim": 0}, "dim = 0, expected a whole number of at least 1"),
        ({"dim": "64"}, "dim = '64'"),
        ({"num_heads": 3}, "dim = 32, expected a multiple of num_heads, 3"),
        ({"dim": 66}, "33 channels, expected an even number"),
        ({"num_layers": True}, "num_layers = True"),
        ({"freq_dim": 33}, "freq_dim = 33, expected an even number"),
        ({"text_dim": -1}, "text_dim = -1"),
        ({"patch_size": (2, 2, 2)}, r"patch_size = \(2, 2, 2\), expected three whole numbers \(1, height, width\)"),
        ({"patch_size": (2, 2)}, "patch_size"),
        ({"eps": 0.0}, "eps = 0.0, expected a positive number"),
        ({"cross_attn_norm": 1}, "cross_attn_norm = 1, expected true or false"),
        ({"attention": {"kind": "full"}}, "expected an AttentionConfig"),
        ({"reference_ranges": None}, "expected ReferenceRanges"),
        ({"residual_std": (0.5,)}, "expected 16 positive numbers"),
        ({"residual_std": (0.5,) * 15 + (0.0,)}, "expected 16 positive numbers"),
        ({"residual_std": (0.5,) * 15 + (float("nan"),)}, "expected 16 positive numbers"),
    ],
)
def test_bad_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)


def test_a_config_older_than_an_attention_field_takes_its_default():
    values = CONFIG.to_dict()
    del values["attention"]["dense_layers"]
    assert DiTConfig.from_dict(values).attention.dense_layers == ()
