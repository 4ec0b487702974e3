"""Frame-keyed noise: independent of clip length and windows, different for other seeds, purposes and frames."""

import pytest
import torch

from gvr_core.noise import CONDITION, SAMPLING, frame_noise

LIKE = torch.zeros(2, 48, 9, 8, 8)


def test_windows_and_longer_clips_have_the_same_noise_at_the_same_frame():
    whole = frame_noise(LIKE, seed=3, purpose=SAMPLING)
    window = frame_noise(LIKE[:, :, 4:7], seed=3, purpose=SAMPLING, first_frame=4)
    assert torch.equal(whole[:, :, 4:7], window)


def test_seed_purpose_sample_and_frame_all_change_it():
    base = frame_noise(LIKE, seed=3, purpose=SAMPLING)
    assert not torch.equal(base, frame_noise(LIKE, seed=4, purpose=SAMPLING))
    assert not torch.equal(base, frame_noise(LIKE, seed=3, purpose=CONDITION))
    assert not torch.equal(base[0], base[1])
    assert not torch.equal(base[:, :, 0], base[:, :, 1])


def test_it_is_standard_normal_and_uncorrelated_between_frames():
    noise = frame_noise(torch.zeros(1, 48, 16, 32, 32), seed=0, purpose=SAMPLING)[0].transpose(0, 1).flatten(1)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.std()) == pytest.approx(1, abs=0.01)
    correlation = torch.corrcoef(noise) - torch.eye(16)
    assert float(correlation.abs().max()) < 0.03


def test_seeds_out_of_range_are_refused():
    with pytest.raises(ValueError, match="seed is -1"):
        frame_noise(LIKE, seed=-1, purpose=SAMPLING)
    assert torch.equal(frame_noise(LIKE, seed=2**64 - 1, purpose=0), frame_noise(LIKE, seed=2**64 - 1, purpose=0))
