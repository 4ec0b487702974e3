from fractions import Fraction

import numpy as np
import pytest

from train.pairs.lossless_video import LosslessWriter, read_lossless


def encode(frames, fps=Fraction(24)):
    writer = LosslessWriter(width=frames.shape[2], height=frames.shape[1], fps=fps)
    for frame in frames:
        writer.write(frame)
    return writer.finish()


@pytest.mark.parametrize("size", [(1, 16, 16), (9, 47, 33), (17, 64, 96)])
def test_frames_come_back_bit_for_bit(size):
    frames = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert np.array_equal(np.stack(list(read_lossless(encode(frames)))), frames)


def test_the_same_frames_are_the_same_bytes():
    frames = np.random.default_rng(1).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
    assert encode(frames) == encode(frames)


@pytest.mark.parametrize("fps", [Fraction(0), Fraction(30000, 1001), Fraction(10**6), Fraction(1, 3)])
def test_any_rate_is_accepted(fps):
    frames = np.zeros((5, 16, 16, 3), np.uint8)
    assert len(list(read_lossless(encode(frames, fps)))) == 5
