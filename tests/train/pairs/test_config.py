import pytest

from train.config import PRESETS
from train.pairs.config import load_pairs_config
from train.pairs.degrade import degradations


@pytest.mark.parametrize("preset", sorted(p.stem for p in PRESETS.glob("pairs_*.yaml")))
def test_every_preset_is_a_valid_config(preset):
    config = load_pairs_config(preset, [])
    assert all(variant in ("plain", "flow", "synthetic", "both", "sdedit") for variant in config.degrade.variants)
    degradations(config.degrade)


def test_unknown_keys_tell_the_nearest_name(make_config):
    with pytest.raises(ValueError, match=r"unknown config key cut\.lenghts: did you mean cut\.lengths"):
        make_config("out", "cut.lenghts=[17]")
    with pytest.raises(ValueError, match=r"degrade\.flow\.strenght: did you mean degrade\.flow\.strength"):
        degradations(make_config("out", "degrade.flow.strenght=0.3").degrade)
    with pytest.raises(ValueError, match=r"degrade\.sdedit\.alhpa: did you mean degrade\.sdedit\.alpha"):
        degradations(make_config("out", "degrade.sdedit.alhpa=[0.1, 0.2]").degrade)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cut.lengths=[16]", "expected 4n"),
        ("cut.lengths=[17, 17]", "every length once"),
        ("cut.buckets=[[100, 64]]", "multiples of 8"),
        ("cut.most=0", "expected at least 0 and 1"),
        ("filter.quality=niqe", "one of auto, musiq, piqe, none"),
        ("degrade.variants=[blur]", "some of plain, flow, synthetic, both, sdedit"),
        ("degrade.scale=0", "at least 1"),
        ("degrade.variants=[flow, sdedit]", r"degrade\.model is empty, .* give degrade\.model=DIR"),
        ("degrade.cfg=-1", "0 to 100"),
        ("encode.dtype=int8", "bfloat16, float16, float32"),
        ("clips_per_shard=0", "at least 1"),
        ("seed=-1", "0 to"),
    ],
)
def test_values_out_of_range_are_refused(make_config, override, message):
    with pytest.raises(ValueError, match=message):
        make_config("out", override)


def test_values_of_the_degradations_are_checked(make_config):
    with pytest.raises(ValueError, match="strength is 2"):
        degradations(make_config("out", "degrade.flow.strength=2").degrade)
    with pytest.raises(ValueError, match="variants of a sample need one size"):
        degradations(
            make_config("out", "degrade.synthetic.restore_size=false", "degrade.synthetic.scale=[1, 2]").degrade
        )
