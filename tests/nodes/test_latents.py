"""Messages about latents of another model."""

import pytest
import torch

from ..node_schemas import pack_modules


@pytest.fixture
def check_space():
    return pack_modules()["nodes.latents"].check_space


@pytest.fixture
def spaces():
    geometry = pack_modules()["gvr_core.geometry"]
    return {
        "cascade": geometry.latent_space("wan21"),
        "vae": geometry.LatentSpace(name="vae", channels=16, spatial=8, temporal=4),
    }


def test_a_vae_of_another_model_is_named(check_space, spaces):
    expected = (
        r"the latent has 48 channels \(Wan 2\.2 5B or this project's nano\), the VAE decodes 16 "
        r"\(Wan 2\.1, Wan 2\.2 14B or HunyuanVideo\): connect the VAE of the model that the latent comes from"
    )
    with pytest.raises(ValueError, match=expected):
        check_space(torch.zeros(1, 48, 1, 2, 2), spaces["vae"], owner="the VAE")


def test_a_cascade_of_another_model_is_named(check_space, spaces):
    with pytest.raises(ValueError, match=r"48 channels .*, this cascade works in wan21 with 16: use a cascade"):
        check_space(torch.zeros(1, 48, 1, 2, 2), spaces["cascade"], owner="this cascade")
