"""HunyuanVideo's autoencoders work in tiles, and weights are told apart without reading all of them."""

import time

import numpy as np
import pytest
import torch

from train.pairs.config import EncodeConfig
from train.pairs.encoders import folder_digest, load_vae, vae_identity

HUNYUAN = {
    "AutoencoderKLHunyuanVideo": ("hunyuan", 8, {"block_out_channels": [8] * 4, "norm_num_groups": 4}),
    "AutoencoderKLHunyuanVideo15": ("hunyuan15", 16, {"block_out_channels": [8, 8, 16, 32, 64]}),
}
"""Class -> latent space, pixels a cell, and sizes of a tiny one."""


@pytest.fixture(params=HUNYUAN)
def hunyuan(request, tmp_path):
    """A tiny random autoencoder, the folder it is stored in, its latent space and pixels a cell."""
    import diffusers

    space, cell, sizes = HUNYUAN[request.param]
    torch.manual_seed(0)
    vae = getattr(diffusers, request.param)(layers_per_block=1, **sizes).eval()
    vae.save_pretrained(tmp_path / "vae")
    return vae, tmp_path / "vae", space, cell


def test_hunyuans_autoencoders_encode_in_tiles(hunyuan):
    vae, folder, space, cell = hunyuan
    encode = load_vae(EncodeConfig(vae=str(folder), device="cpu"))
    assert encode.space.name == space
    assert encode.vae.vae.use_tiling
    seen = []
    encode.vae.vae.encoder.register_forward_hook(lambda module, args, result: seen.append(args[0].shape))
    frames = np.random.default_rng(0).integers(0, 256, (5, 272, 400, 3), dtype=np.uint8)
    latent = encode(frames, height=272, width=400)
    assert latent.shape == (encode.space.channels, 2, 272 // cell, 400 // cell)
    # Attention takes memory by the square of the cells: no more than a tile is ever seen at once.
    assert len(seen) > 1
    assert max(shape[-2] for shape in seen) <= 256
    assert max(shape[-1] for shape in seen) <= 256
    vae.enable_tiling()
    video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.inference_mode():
        torch.testing.assert_close(latent, vae.encode(video).latent_dist.mean[0])


@pytest.mark.parametrize("length", [17, 21, 77])
def test_they_give_as_many_latent_frames_as_the_space_says(hunyuan, length):
    _, folder, _, cell = hunyuan
    encode = load_vae(EncodeConfig(vae=str(folder), device="cpu"))
    latent = encode(np.zeros((length, 2 * cell, 2 * cell, 3), np.uint8), height=2 * cell, width=2 * cell)
    assert latent.shape[1] == (length - 1) // 4 + 1


def test_tiles_are_part_of_the_plan(hunyuan, wan_folder):
    assert vae_identity(str(hunyuan[1]))["tiled"] is True
    assert "tiled" not in vae_identity(str(wan_folder / "vae"))
    assert "tiled" not in vae_identity("nano")


def test_fine_tunes_of_one_size_have_their_own_digest(tmp_path):
    """Weights of the same shapes: the same size and header, other numbers."""
    from safetensors.torch import save_file

    def digest(name, weights):
        (tmp_path / name).mkdir()
        save_file({"weight": weights}, tmp_path / name / "model.safetensors")
        assert (tmp_path / name / "model.safetensors").stat().st_size > 2**22
        return folder_digest(tmp_path / name)

    base = torch.randn(1024, 1025, generator=torch.Generator().manual_seed(0))
    tuned = base + 1e-4 * torch.randn(base.shape, generator=torch.Generator().manual_seed(1))
    late = base.clone()
    late[900:] += 1e-3  # only the last layers were trained
    digests = [digest("base", base), digest("again", base.clone()), digest("tuned", tuned), digest("late", late)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_the_digest_of_gigabytes_takes_milliseconds(tmp_path):
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(2**33)  # sparse: no disk is used
    started = time.perf_counter()
    folder_digest(tmp_path)
    assert time.perf_counter() - started < 1
