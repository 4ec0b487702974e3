import pytest
import torch

from gvr_core.models.dit import DiT
from train.model_sizes import SIZES, dit_config, expand_model


# From the model cards: 1.3B, 14B and 5B without what a cascade adds.
@pytest.mark.parametrize(("size", "parameters"), [("1.3B", 1.419e9), ("14B", 14.288e9), ("5B", 5.0e9)])
def test_sizes_have_the_parameters_of_their_models(size, parameters):
    config = dit_config({"size": size, "condition_channels": 0, "noise_embedding": False})
    with torch.device("meta"):
        count = sum(p.numel() for p in DiT(config).parameters())
    assert count == pytest.approx(parameters, rel=2e-3)


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_a_cascade_and_every_field_can_be_changed(size):
    config = dit_config({"size": size})
    assert config.condition_channels == config.latent_channels == {"5B": 48}.get(size, 16)
    assert config.head_dim == 128
    assert config.noise_embedding
    changed = dit_config(
        {"size": size, "attention": {"unit": 5}, "reference_ranges": {"max_images": 4}, "noise_embedding": False}
    )
    assert (changed.attention.unit, changed.reference_ranges.max_images, changed.noise_embedding) == (5, 4, False)
    assert changed.reference_ranges.video_start == 30


def test_other_sections_stay_and_other_sizes_are_refused():
    assert expand_model({"dim": 8}) == {"dim": 8}
    with pytest.raises(ValueError, match=r"model\.size is '2B', expected one of 1\.3B, 14B, 5B"):
        expand_model({"size": "2B"})
