"""References of a training sample: where they come from, how they are padded, and that they repeat."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gvr_core.degradations.config import ReferenceAugmentation
from train.data.references import reference_pictures, reference_video
from train.fit_config import ReferenceConfig

SIDE = 32
UNCHANGED = ReferenceAugmentation(
    brightness=(1.0, 1.0), flip_probability=0.0, shear=0.0, rotation=0.0, crop_probability=0.0, video_shift=4
)
PLACE = {"top": 8, "left": 16, "side": SIDE, "seed": 5}


@pytest.fixture
def clip():
    """Every pixel tells its frame, row and column."""
    frames = np.zeros((30, 64, 80, 3), np.uint8)
    frames[..., 0] = np.arange(30)[:, None, None] + 1
    frames[..., 1] = np.arange(64)[None, :, None] + 1
    frames[..., 2] = np.arange(80)[None, None, :] + 1
    return frames


def test_a_whole_picture_is_the_samples_place_in_another_frame(clip):
    config = ReferenceConfig(whole=1.0, augment=UNCHANGED)
    pictures = reference_pictures(clip, count=3, config=config, k=0, **PLACE)
    assert pictures.shape == (3, 3, SIDE, SIDE)
    for picture in pictures:
        frame = int(picture[0, 0, 0]) - 1
        expected = torch.from_numpy(clip[frame, 8 : 8 + SIDE, 16 : 16 + SIDE].transpose(2, 0, 1).copy())
        assert torch.equal(picture, expected)


def test_a_cut_out_lies_inside_the_sample_and_in_the_middle_of_zeros(clip):
    config = ReferenceConfig(whole=0.0, augment=UNCHANGED)
    for k in range(40):
        picture = reference_pictures(clip, count=1, config=config, k=k, **PLACE)[0]
        rows, columns = (torch.nonzero(picture[0].any(dim=axis)).flatten() for axis in (1, 0))
        height, width = len(rows), len(columns)
        assert min(height, width) >= 0.4 * SIDE - 1
        assert max(height, width) <= 0.9 * SIDE + 1
        assert rows[0] == (SIDE - height) // 2
        assert columns[0] == (SIDE - width) // 2
        inside = picture[:, rows[0] : rows[0] + height, columns[0] : columns[0] + width]
        first_row, first_column = int(inside[1, 0, 0]) - 1, int(inside[2, 0, 0]) - 1
        assert first_row >= 8
        assert first_row + height <= 8 + SIDE
        assert first_column >= 16
        assert first_column + width <= 16 + SIDE


def test_pictures_repeat_with_seed_and_number_and_differ_otherwise(clip):
    config = ReferenceConfig()
    first = reference_pictures(clip, count=2, config=config, k=3, **PLACE)
    assert torch.equal(first, reference_pictures(clip, count=2, config=config, k=3, **PLACE))
    assert not torch.equal(first, reference_pictures(clip, count=2, config=config, k=4, **PLACE))
    assert torch.equal(first[:1], reference_pictures(clip, count=1, config=config, k=3, **PLACE))


def test_a_reference_video_starts_a_little_earlier_or_later(clip):
    config = ReferenceConfig(augment=UNCHANGED)
    starts = set()
    for k in range(200):
        video = reference_video(clip, start=10, frames=9, config=config, k=k, **PLACE)
        assert video.shape == (3, 9, SIDE, SIDE)
        begin = int(video[0, 0, 0, 0]) - 1
        starts.add(begin)
        expected = clip[begin : begin + 9, 8 : 8 + SIDE, 16 : 16 + SIDE].transpose(3, 0, 1, 2)
        assert np.array_equal(video.numpy(), expected)
    assert starts == set(range(6, 15))


def test_no_shift_is_the_target_itself(clip):
    config = ReferenceConfig(augment=replace(UNCHANGED, video_shift=0))
    video = reference_video(clip, start=10, frames=9, config=config, k=1, **PLACE)
    assert int(video[0, 0, 0, 0]) == 11
