"""U's Table 3: every transform against its own formula, points followed through the map, ranges, probabilities."""

import math
from dataclasses import replace

import numpy as np
import pytest

from gvr_core.degradations.config import ReferenceAugmentation
from gvr_core.degradations.reference_augment import (
    ReferenceDraw,
    affine_map,
    augment_reference,
    draw_reference,
    shift_start,
)

OFF = ReferenceAugmentation(brightness=(1, 1), flip_probability=0, shear=0, rotation=0, crop_probability=0)
KEY = {"seed": 5, "clip_id": "clip"}
STILL = {
    "brightness": 1,
    "flipped": False,
    "shear": (0, 0),
    "rotation": 0,
    "left": 0,
    "top": 0,
    "width": 81,
    "height": 61,
}


def picture(height=60, width=80):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def moved(x, y, **changes):
    """Where a pixel of an 81 x 61 picture goes, whose centre is (40, 30)."""
    return (affine_map(ReferenceDraw(**{**STILL, **changes}), height=61, width=81) @ [x, y, 1])[:2]


def draws(config, height=60, width=80, clips=3000):
    return [draw_reference(config, height=height, width=width, seed=2, clip_id=f"clip {n}") for n in range(clips)]


def assert_share(happened, probability):
    """Within five standard deviations of a binomial."""
    bound = 5 * math.sqrt(probability * (1 - probability) / len(happened))
    assert np.mean(happened) == pytest.approx(probability, abs=bound)


def test_with_everything_off_picture_and_mask_come_back():
    mask = picture()[..., 0]
    result = augment_reference(picture(), OFF, mask=mask, **KEY)
    assert np.array_equal(result.picture, picture())
    assert np.array_equal(result.mask, mask)


def test_a_flip_alone_is_exact():
    result = augment_reference(picture(), replace(OFF, flip_probability=1), mask=picture()[..., 0], **KEY)
    assert np.array_equal(result.picture, picture()[:, ::-1])
    assert np.array_equal(result.mask, picture()[:, ::-1, 0])


def test_a_crop_alone_is_an_exact_part():
    config = replace(OFF, crop_probability=1, crop_scale=(0.67, 0.9))
    for number in range(20):
        result = augment_reference(picture(), config, number=number, **KEY)
        draw = draw_reference(config, height=60, width=80, number=number, **KEY)
        part = picture()[draw.top : draw.top + draw.height, draw.left : draw.left + draw.width]
        assert np.array_equal(result.picture, part)
        assert 0.66 <= len(part) / 60 <= 0.91
        assert len(part) / 60 == pytest.approx(part.shape[1] / 80, abs=0.5 / 60 + 0.5 / 80)


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_brightness_is_a_factor_that_stops_at_white(factor):
    result = augment_reference(picture(), replace(OFF, brightness=(factor, factor)), **KEY)
    assert np.abs(result.picture - np.minimum(picture() * factor, 255)).max() <= 0.5
    assert (result.mask == 255).all()


def test_points_go_where_each_transform_says():
    assert moved(10, 7, flipped=True) == pytest.approx([70, 7])
    # The lower edge (y = 30 above or below the centre of 61 rows) moves half of the shear in each direction.
    assert moved(40, 60.5, shear=(4, 0)) == pytest.approx([42, 60.5])
    assert moved(40, -0.5, shear=(4, 0)) == pytest.approx([38, -0.5])
    assert moved(80.5, 30, shear=(0, 3)) == pytest.approx([80.5, 31.5])
    assert moved(40, 30, shear=(4, 3), rotation=17, flipped=True) == pytest.approx([40, 30])
    # Counter-clockwise as one sees it: what is right of the centre goes up.
    assert moved(60, 30, rotation=90) == pytest.approx([40, 10])
    assert moved(60, 30, rotation=20) == pytest.approx(
        [40 + 20 * math.cos(math.pi / 9), 30 - 20 * math.sin(math.pi / 9)]
    )
    assert moved(60, 30, left=12, top=9, width=50, height=40) == pytest.approx([48, 21])


def test_the_whole_map_is_the_transforms_in_the_order_of_the_table():
    x, y = 13.0, 50.0
    expected_x, expected_y = 80 - x - 40, y - 30
    expected_x = expected_x + -3 / 61 * expected_y
    expected_y = expected_y + 2.5 / 81 * expected_x
    turn = complex(expected_x, -expected_y) * np.exp(1j * math.radians(-15))
    expected = [turn.real + 40 - 6, -turn.imag + 30 - 4]
    point = moved(x, y, flipped=True, shear=(-3, 2.5), rotation=-15, left=6, top=4, width=60, height=45)
    assert point == pytest.approx(expected)


def test_dots_in_the_picture_go_where_the_map_sends_them():
    config = ReferenceAugmentation(crop_probability=0, brightness=(1, 1))
    y, x = np.mgrid[:120, :160]
    for number, (dot_x, dot_y) in enumerate([(80, 60), (50, 40), (110, 45), (60, 85), (105, 80)]):
        dot = 220 * np.exp(-((x - dot_x) ** 2 + (y - dot_y) ** 2) / (2 * 2.5**2))
        source = np.repeat(dot.round().astype(np.uint8)[..., None], 3, axis=2)
        result = augment_reference(source, config, number=number, **KEY).picture[..., 1].astype(float)
        draw = draw_reference(config, height=120, width=160, number=number, **KEY)
        place = (affine_map(draw, height=120, width=160) @ [dot_x, dot_y, 1])[:2]
        assert [(result * x).sum() / result.sum(), (result * y).sum() / result.sum()] == pytest.approx(place, abs=0.1)


def test_nothing_is_enlarged_or_made_smaller():
    for draw in draws(ReferenceAugmentation(), clips=200):
        linear = affine_map(draw, height=60, width=80)[:2, :2]
        assert abs(np.linalg.det(linear)) == pytest.approx(1)


def test_beyond_the_picture_everything_is_zero():
    white = np.full((90, 120, 3), 255, dtype=np.uint8)
    result = augment_reference(white, replace(OFF, rotation=180, shear=0.05), number=1, **KEY)
    assert result.mask.min() == 0
    assert result.mask.max() == 255
    assert (result.picture[result.mask == 0] == 0).all()
    assert (result.picture[result.mask == 255] == 255).all()


def test_fine_detail_survives():
    """One cubic interpolation: stripes of 4 pixels keep most of their contrast when turned by 20 degrees."""
    stripes = np.tile(np.array([40, 40, 200, 200], dtype=np.uint8), (120, 40))
    config = replace(OFF, rotation=20)
    number = max(range(50), key=lambda n: abs(draw_reference(config, height=120, width=160, number=n, **KEY).rotation))
    result = augment_reference(np.repeat(stripes[..., None], 3, axis=2), config, number=number, **KEY).picture
    assert result[40:80, 60:100].std() > 0.85 * stripes.std()


def test_ranges_are_those_of_table_3():
    drawn = draws(ReferenceAugmentation())
    for values, low, high in (
        ([d.brightness for d in drawn], 0.9, 1.1),
        ([d.shear[0] for d in drawn], -0.05 * 80, 0.05 * 80),
        ([d.shear[1] for d in drawn], -0.05 * 60, 0.05 * 60),
        ([d.rotation for d in drawn], -20, 20),
        ([d.width / 80 for d in drawn if d.width < 80], 0.67, 1),
        ([d.height / 60 for d in drawn if d.height < 60], 0.67, 1),
    ):
        margin = 0.015 * (high - low) + 0.5 / 60
        assert low - 0.5 / 60 <= min(values) < low + margin
        assert high - margin - 1 / 60 < max(values) <= high
        # Uniform: mean and deviation of that range.
        assert np.mean(values) == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
        assert np.std(values) == pytest.approx((high - low) / math.sqrt(12), rel=0.05)


def test_probabilities_are_those_of_table_3():
    drawn = draws(ReferenceAugmentation())
    assert_share([d.flipped for d in drawn], 0.5)
    # A crop of 0.994 and more of the side keeps all 80 columns.
    assert_share([d.width < 80 for d in drawn], 0.5 * (1 - 0.00625 / 0.33))
    assert all(d.rotation != 0 and d.shear[0] != 0 and d.shear[1] != 0 and d.brightness != 1 for d in drawn)


def test_crops_lie_everywhere_within_the_picture():
    drawn = draws(replace(OFF, crop_probability=1, crop_scale=(0.5, 0.5)), height=8, width=12)
    assert {d.left for d in drawn} == set(range(7))
    assert {d.top for d in drawn} == set(range(5))


def test_seed_clip_and_number_decide():
    config = ReferenceAugmentation()
    first = augment_reference(picture(), config, **KEY).picture
    assert np.array_equal(first, augment_reference(picture(), config, **KEY).picture)
    size = {"height": 60, "width": 80}
    drawn = [
        draw_reference(config, **size, **key)
        for key in (KEY, {**KEY, "seed": 6}, {**KEY, "clip_id": "other"}, {**KEY, "number": 1})
    ]
    assert len({draw.rotation for draw in drawn}) == 4


def starts(start, frames, clip_frames, **changes):
    config = ReferenceAugmentation(**changes)
    return [
        shift_start(config, start=start, frames=frames, clip_frames=clip_frames, seed=1, clip_id=str(n))
        for n in range(2000)
    ]


def test_a_reference_video_starts_up_to_8_frames_off():
    counts = np.bincount(starts(50, 21, 200))
    assert set(np.flatnonzero(counts)) == set(range(42, 59))
    assert counts[42:59] == pytest.approx(2000 / 17, abs=5 * math.sqrt(2000 / 17))


def test_a_reference_video_stays_within_its_clip():
    assert set(starts(0, 21, 200)) == set(range(9))
    assert set(starts(179, 21, 200)) == set(range(171, 180))
    assert set(starts(2, 21, 26)) == set(range(6))
    assert set(starts(0, 21, 21)) == {0}
    assert set(starts(9, 21, 200, video_shift=0)) == {9}


def test_mistakes_are_told():
    with pytest.raises(ValueError, match=r"the reference is uint8 of shape \(60, 80, 4\)"):
        augment_reference(np.zeros((60, 80, 4), dtype=np.uint8), OFF, **KEY)
    with pytest.raises(ValueError, match=r"the mask is bool of shape \(60, 80\)"):
        augment_reference(picture(), OFF, mask=np.zeros((60, 80), dtype=bool), **KEY)
    with pytest.raises(ValueError, match=r"the mask is uint8 of shape \(80, 60\)"):
        augment_reference(picture(), OFF, mask=np.zeros((80, 60), dtype=np.uint8), **KEY)
    with pytest.raises(ValueError, match="21 frames from frame 180 do not lie in a clip of 200 frames"):
        shift_start(OFF, start=180, frames=21, clip_frames=200, **KEY)
