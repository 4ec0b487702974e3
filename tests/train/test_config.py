"""Configs: presets load, overrides are typed, mistakes are named."""

import dataclasses

import pytest

from train.config import PRESETS
from train.fit_config import load_fit_config

# Those of the data commands are of another kind: tests/train/pairs.
RUNS = [
    p.stem for p in sorted(PRESETS.glob("*.yaml")) if p.stem != "nano_inference" and not p.stem.startswith("pairs_")
]


@pytest.mark.parametrize("preset", RUNS)
def test_every_preset_is_a_valid_config(preset):
    config = load_fit_config(preset, [])
    assert config.task in ("vae", "upsampler", "cascade")
    assert config.batch % config.group == 0


@pytest.mark.parametrize("preset", [name for name in RUNS if name.startswith("nano")])
def test_every_stage_of_nano_holds_out_the_same_clips(preset):
    assert load_fit_config(preset, []).data.validation == load_fit_config("nano_vae", []).data.validation
    assert len(load_fit_config(preset, []).data.validation) == 4


def test_overrides_reach_nested_keys_with_their_type():
    config = load_fit_config("nano_vae", ["steps=7", "optim.learning_rate=1", "data.short_sides=[256]", "data.crop=64"])
    assert (config.steps, config.optim.learning_rate, config.data.short_sides) == (7, 1.0, (256,))
    assert isinstance(config.optim.learning_rate, float)
    assert load_fit_config("nano_vae", ["optim.learning_rate=1e-4"]).optim.learning_rate == 1e-4
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.steps = 8


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("stepz=3", r"unknown config key stepz: did you mean steps\?"),
        ("optim.learning_rat=3", r"did you mean optim\.learning_rate\?"),
        ("steps=many", "config key steps is 'many', expected int"),
        ("steps=true", "config key steps is True, expected int"),
        ("optim.learning_rate=fast", r"optim\.learning_rate is 'fast', expected a number"),
        ("steps=0", "steps is 0"),
        ("data.frames=16", r"data\.frames is 16, expected 4n\+1"),
        ("data.crop=4000", "the smallest clip offers 192"),
        ("data.halve=2", r"data\.halve is 2"),
        ("precision=fp8", "precision is 'fp8'"),
        ("data=3", "config key data is 3, expected a mapping"),
        ("steps", "has no '='"),
        ("steps.more=1", "steps is a value"),
    ],
)
def test_mistakes_are_named(override, text):
    with pytest.raises(ValueError, match=text):
        load_fit_config("nano_vae", [override])


def test_unknown_presets_list_the_known_ones():
    with pytest.raises(ValueError, match=r"no config 'nano_vea'.*nano_vae"):
        load_fit_config("nano_vea", [])
