"""Configs check themselves and read what a user types."""

from dataclasses import FrozenInstanceError, asdict

import pytest

from gvr_core.degradations.config import FlowDegradation, ReferenceAugmentation, SyntheticDegradation


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("strength=0.4", "strength", 0.4),
        ("strength = 1", "strength", 1.0),
        ("ellipses=12", "ellipses", 12),
        ("ellipse_size=8,40", "ellipse_size", (8.0, 40.0)),
        ("ellipse_size=9", "ellipse_size", (9.0, 9.0)),
        ("preset=fast", "preset", "fast"),
    ],
)
def test_settings_are_read_with_their_types(text, name, value):
    changed = FlowDegradation().with_fields([text])
    assert getattr(changed, name) == value
    assert type(getattr(changed, name)) is type(value)
    assert {**asdict(changed), name: None} == {**asdict(FlowDegradation()), name: None}


def test_a_config_survives_json():
    stored = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(FlowDegradation()).items()}
    assert FlowDegradation(**stored) == FlowDegradation()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("strenght=0.4", "no setting 'strenght': did you mean strength"),
        ("zzz=red", "no setting 'zzz': there are strength, ellipses"),
        ("strength", "'strength' is no setting: write name=value, for example strength=0.7"),
        ("strength=much", "strength=much: expected a number"),
        ("ellipses=1.5", "ellipses=1.5: expected a whole number"),
        ("strength=1.5", "strength is 1.5, expected a number from 0 to 1"),
        ("strength=nan", "strength is nan, expected a number from 0 to 1"),
        ("ellipse_size=9,3", "expected the low end first"),
        ("ellipse_size=1,2,3", "expected two numbers, low and high"),
        ("ellipse_size=1,", "ellipse_size=: expected a number"),
        ("preset=best", "preset is 'best', expected one of ultrafast, fast, medium"),
    ],
)
def test_mistakes_are_told(text, match):
    with pytest.raises(ValueError, match=match):
        FlowDegradation().with_fields([text])


def test_a_setting_given_twice_is_a_mistake():
    with pytest.raises(ValueError, match="blur is given twice"):
        FlowDegradation().with_fields(["blur=1", "blur=2"])


def test_values_are_checked_without_text_too():
    with pytest.raises(ValueError, match="ellipses is True, expected a whole number"):
        FlowDegradation(ellipses=True)
    with pytest.raises(ValueError, match="restore_size is 1, expected true or false"):
        SyntheticDegradation(restore_size=1)
    assert SyntheticDegradation().with_fields(["restore_size=True"]).restore_size
    with pytest.raises(ValueError, match="restore_size=yes: expected true or false"):
        SyntheticDegradation().with_fields(["restore_size=yes"])
    with pytest.raises(FrozenInstanceError):
        FlowDegradation().blur = 2


def test_reference_augmentation_is_table_3():
    config = ReferenceAugmentation()
    assert config.brightness == (0.9, 1.1)
    assert config.flip_probability == config.crop_probability == 0.5
    assert (config.shear, config.rotation, config.crop_scale) == (0.05, 20, (0.67, 1.0))
