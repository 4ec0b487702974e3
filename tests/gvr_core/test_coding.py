"""Pixels to latents and back in pieces: every frame count, odd sizes, and pieces equal the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gvr_core.checkpoints import load_part
from gvr_core.coding import (
    FrameCounter,
    chunk_frames,
    decode_frames,
    encode_frames,
    reencode_enlarged,
    to_frames,
    to_tensor,
)
from gvr_core.geometry import latent_space, plan_upscale
from gvr_core.models.upsampler import bilinear

NANO, CPU = latent_space("nano"), torch.device("cpu")


@pytest.fixture(scope="module")
def vae(tiny_checkpoint):
    return load_part(tiny_checkpoint, "vae")


def clip(frames, height=16, width=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


@given(cuts=st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_groups_are_what_a_causal_vae_takes_and_hold_every_frame_once(cuts):
    frames = np.arange(sum(cuts), dtype=np.uint8)[:, None, None, None]
    counter = FrameCounter(np.split(frames, np.cumsum(cuts)[:-1]), NANO)
    groups = list(counter)
    assert counter.frames == len(frames)
    assert [len(g) % 4 for g in groups] == [1] + [0] * (len(groups) - 1)
    joined = np.concatenate(groups)
    assert np.array_equal(joined[: len(frames)], frames)
    assert np.all(joined[len(frames) :] == frames[-1])
    assert len(joined) == NANO.padded_frames(len(frames))


def test_a_clip_without_frames_is_an_error():
    with pytest.raises(ValueError, match="no frames"):
        list(FrameCounter([], NANO))


@pytest.mark.parametrize("pieces", [1, 4, 7])
def test_pieces_do_not_change_the_latent(vae, pieces):
    frames = clip(17)
    whole, count = encode_frames(vae, [frames], NANO, CPU)
    parts, _ = encode_frames(vae, np.array_split(frames, pieces), NANO, CPU)
    assert count == 17
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 16, 16), (2, 17, 31), (5, 8, 9), (18, 24, 15)])
def test_the_way_there_and_back_keeps_count_and_size(vae, frames, height, width):
    latent, count = encode_frames(vae, [clip(frames, height, width)], NANO, CPU)
    assert latent.shape == (1, 48, NANO.latent_frames(frames), -(-height // 8), -(-width // 8))
    pieces = list(decode_frames(vae, latent, frames=count, height=height, width=width))
    assert sum(map(len, pieces)) == frames
    assert {p.shape[1:] for p in pieces} == {(height, width, 3)}
    assert all(p.dtype == np.uint8 for p in pieces)


def test_every_count_of_frames_comes_back(vae):
    for frames in range(1, 101):
        chunks = np.array_split(clip(frames, 8, 8), 1 + frames // 7)
        latent, count = encode_frames(vae, chunks, NANO, CPU)
        assert latent.shape[2] == NANO.latent_frames(frames)
        assert sum(map(len, decode_frames(vae, latent, frames=count, height=7, width=5))) == frames


def test_padding_and_cutting_are_on_the_same_sides():
    frames = clip(1, 5, 11)
    padded = to_tensor(frames, height=8, width=16)
    assert torch.equal(padded[..., 5:, :], padded[..., 4:5, :].expand(-1, -1, -1, 3, -1))
    assert torch.equal(padded[..., 11:], padded[..., 10:11].expand(-1, -1, -1, -1, 5))
    assert np.array_equal(to_frames(padded, height=5, width=11), frames)


def test_large_frames_are_decoded_one_latent_frame_at_a_time():
    assert chunk_frames(136, 240) == 1
    assert chunk_frames(8, 8) > 100


def test_the_pixel_route_is_decode_bilinear_encode(vae):
    latent, _ = encode_frames(vae, [clip(9, 16, 24)], NANO, CPU)
    plan = plan_upscale(NANO, 16, 24, scale=2.0)
    video = bilinear(vae.decode(latent), scale=2.0, height=plan.padded_height, width=plan.padded_width)
    torch.testing.assert_close(reencode_enlarged(vae, latent, plan), vae.encode(video), rtol=0, atol=1e-4)
