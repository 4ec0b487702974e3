import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from train.pairs.config import CutConfig
from train.pairs.cutting import choose_bucket, fit, plan_cuts


@given(st.integers(1, 400), st.integers(0, 40), st.integers(1, 9), st.integers(0, 2**64 - 1))
def test_cuts_lie_in_the_clip_and_references_outside_the_cut(frames, stride, most, seed):
    config = CutConfig(lengths=(17, 5), buckets=((64, 64),), stride=stride, most=most)
    cuts = plan_cuts(123, frames, config, seed)
    assert cuts == sorted(cuts, key=lambda cut: (cut.length, cut.start))
    for length in (5, 17):
        starts = [cut.start for cut in cuts if cut.length == length]
        assert len(set(starts)) == len(starts) <= most
        assert bool(starts) == (frames >= length)
        assert all(start % (stride or length) == 0 for start in starts)
    for cut in cuts:
        assert 0 <= cut.start <= cut.end <= frames
        if frames == cut.length:
            assert cut.reference is None
        else:
            assert 0 <= cut.reference < frames
            assert not cut.start <= cut.reference < cut.end


def test_every_frame_outside_can_be_the_reference():
    config = CutConfig(lengths=(5,), buckets=((64, 64),), most=1)
    found = {plan_cuts(number, 9, config, 0)[0].reference for number in range(200)}
    assert found == {5, 6, 7, 8}  # the cut is frames 0 to 4


def test_the_nearest_shape_that_is_covered_wins():
    config = CutConfig(lengths=(5,), buckets=((1920, 1080), (1280, 720), (720, 1280), (960, 960)))
    assert choose_bucket(3840, 2160, config) == (1920, 1080)
    assert choose_bucket(1280, 720, config) == (1280, 720)
    assert choose_bucket(1000, 2000, config) == (720, 1280)
    assert choose_bucket(640, 480, config) is None
    assert choose_bucket(640, 480, CutConfig(lengths=(5,), buckets=((64, 64),))) == (64, 64)


def test_a_frame_is_shrunk_and_cut_about_its_centre():
    frame = np.zeros((96, 160, 3), np.uint8)
    frame[:, 32:128] = 200
    cut = fit(frame, (48, 48))
    assert cut.shape == (48, 48, 3)
    assert (cut == 200).all()
    assert np.array_equal(fit(frame, (160, 96)), frame)
