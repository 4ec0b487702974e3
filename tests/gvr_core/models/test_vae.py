"""The Nano VAE: causality, chunks equal the whole, sizes, and the linear start against an SVD."""

import numpy as np
import pytest
import torch

from gvr_core.models.vae import NanoVAE, NanoVAEConfig


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    vae = NanoVAE(NanoVAEConfig(space="nano", width=16, encoder_blocks=1, decoder_blocks=2))
    for parameter in vae.parameters():  # the residuals end in zeros, which would hide them
        torch.nn.init.normal_(parameter, std=0.05)
    return vae.eval().requires_grad_(False)


def video(frames: int, height: int = 16, width: int = 24, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, frames, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("frames", [1, 5, 17])
def test_shapes_follow_the_latent_space(vae, frames):
    latent = vae.encode(video(frames))
    assert latent.shape == (1, 48, (frames - 1) // 4 + 1, 2, 3)
    assert vae.decode(latent).shape == (1, 3, frames, 16, 24)


@pytest.mark.parametrize("cuts", [(1, 16), (5, 12), (9, 4, 4), (1, 4, 4, 4, 4)])
def test_encoding_in_chunks_equals_encoding_at_once(vae, cuts):
    whole = video(17)
    chunks = whole.split(cuts, dim=2)
    torch.testing.assert_close(torch.cat(list(vae.encode_stream(chunks)), 2), vae.encode(whole), rtol=0, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_decoding_in_chunks_equals_decoding_at_once(vae, chunk):
    latent = torch.randn(1, 48, 6, 2, 3, generator=torch.Generator().manual_seed(1))
    streamed = torch.cat(list(vae.decode_stream(latent, chunk=chunk)), 2)
    torch.testing.assert_close(streamed, vae.decode(latent), rtol=0, atol=1e-5)


def test_nothing_depends_on_later_frames(vae):
    first = video(17)
    second = torch.cat([first[:, :, :9], video(17, seed=2)[:, :, 9:]], 2)
    a, b = vae.encode(first), vae.encode(second)
    assert torch.equal(a[:, :, :3], b[:, :, :3])
    assert not torch.equal(a[:, :, 3], b[:, :, 3])
    b[:, :, :3] = a[:, :, :3]
    assert torch.equal(vae.decode(a)[:, :, :9], vae.decode(b)[:, :, :9])


def test_the_first_latent_frame_is_that_of_the_picture_alone(vae):
    clip = video(9)
    torch.testing.assert_close(vae.encode(clip)[:, :, :1], vae.encode(clip[:, :, :1]), rtol=0, atol=1e-5)


def test_unknown_sizes_are_refused_in_words(vae):
    with pytest.raises(ValueError, match=r"8 frames.*4n\+1"):
        vae.encode(video(8))
    with pytest.raises(ValueError, match="multiples of 8"):
        vae.encode(video(5, height=12))
    with pytest.raises(ValueError, match=r"16 channels.*expects 48"):
        vae.decode(torch.zeros(1, 16, 1, 2, 2))
    with pytest.raises(ValueError, match="expected at least 1"):
        list(vae.decode_stream(torch.zeros(1, 48, 1, 2, 2), chunk=0))
    with pytest.raises(ValueError, match="width is 0"):
        NanoVAEConfig(space="nano", width=0, encoder_blocks=1, decoder_blocks=1)


def test_linear_start_keeps_the_variance_that_an_svd_says():
    start = pytest.importorskip("train.linear_start")
    torch.manual_seed(0)
    vae = NanoVAE(NanoVAEConfig(space="nano", width=8, encoder_blocks=1, decoder_blocks=1)).requires_grad_(False)
    smooth = torch.nn.functional.interpolate(torch.rand(6, 3, 5, 8, 8), size=(17, 64, 64), mode="trilinear") * 2 - 1
    share = start.start_linear(vae, [smooth])
    blocks = start.pixel_blocks(smooth, temporal=4, spatial=8).double().numpy()
    values = np.linalg.svd(blocks - blocks.mean(0), compute_uv=False) ** 2
    assert share == pytest.approx(values[:48].sum() / values.sum(), abs=1e-6)
    # Orthonormal components: what is lost is what the SVD drops, and the latent has one common scale of 1.
    latent = vae.encode(smooth)
    assert float(latent.square().mean()) == pytest.approx(1, abs=0.05)
    lost = float(
        (start.pixel_blocks(vae.decode(latent), temporal=4, spatial=8) - torch.from_numpy(blocks)).square().mean()
    )
    assert lost <= values[48:].sum() / blocks.size * 1.001
