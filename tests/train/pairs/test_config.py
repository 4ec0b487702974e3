import re
from pathlib import Path

import pytest

from train import pairs
from train.config import PRESETS
from train.pairs.config import VARIANTS, load_pairs_config
from train.pairs.cutting import choose_bucket
from train.pairs.degrade import degradations

README = Path(pairs.__file__).with_name("README.md")


@pytest.mark.parametrize("preset", sorted(p.stem for p in PRESETS.glob("pairs_*.yaml")))
def test_every_preset_is_a_valid_config(preset):
    config = load_pairs_config(preset, [])
    assert set(config.degrade.variants) <= set(VARIANTS)
    degradations(config.degrade)


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (3840, 2160)])
@pytest.mark.parametrize("source", ["pairs_simplegvr", "pairs_unimmvsr", "README"])
def test_the_papers_configs_take_full_hd_and_above(source, size, tmp_path):
    if source == "README":  # its example for Wan
        example = re.search(r"```yaml\n(root: .*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
        (tmp_path / "wan.yaml").write_text(example, encoding="utf-8")
        source = str(tmp_path / "wan.yaml")
    config = load_pairs_config(source, [])
    assert not config.cut.enlarge
    assert choose_bucket(*size, config.cut) == ((1920, 1080) if size[0] > size[1] else (1080, 1920))


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
        ("degrade.variants=[blur]", "some of plain, flow, synthetic, both, sdedit, sdedit_latent"),
        ("degrade.scale=5", r"has \[96, 64\], which degrade\.scale=5 does not divide: .* use multiples of 40"),
        ("degrade.scale=0", "at least 1"),
        ("degrade.variants=[flow, sdedit]", r"degrade\.model is empty, .* give degrade\.model=DIR"),
        ("degrade.variants=[sdedit_latent]", r"degrade\.model is empty, the variant sdedit_latent needs"),
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


def test_a_variant_without_pixels_cannot_be_enlarged(make_config):
    latents = ("degrade.variants=[flow, sdedit_latent]", "degrade.model=somewhere")
    make_config("out", *latents)
    with pytest.raises(ValueError, match=r"encode\.enlarged needs pixels, the variant sdedit_latent has none"):
        make_config("out", *latents, "encode.enlarged=true")
