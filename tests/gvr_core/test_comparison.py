"""The comparison sheet: what it shows where, and what it refuses."""

import numpy as np
import pytest

from gvr_core.comparison import comparison_sheet

MARK = (255, 183, 50)


@pytest.fixture
def detailed():
    """Flat grey with a checkered patch at rows 160-200, columns 60-100."""
    picture = np.full((256, 320, 3), 128, np.uint8)
    y, x = np.mgrid[0:40, 0:40]
    picture[160:200, 60:100] = np.where(((x + y) % 2)[..., None], 250, 5)
    return picture


def test_pictures_stand_in_columns_of_one_width(detailed):
    one = comparison_sheet([("a", detailed)])
    three = comparison_sheet([("a", detailed)] * 3)
    assert one.dtype == three.dtype == np.uint8
    assert three.shape[0] == one.shape[0]
    column = 320 + 24
    assert three.shape[1] - one.shape[1] == 2 * column
    np.testing.assert_array_equal(three[:, 24 : 24 + 320], three[:, 24 + column : 24 + column + 320])


@pytest.mark.parametrize("zoom", [4, 8])
def test_detail_is_the_busiest_part_with_whole_pixels(detailed, zoom):
    sheet = comparison_sheet([("a", detailed)], crops=1, zoom=zoom)
    detail = sheet[12 + 40 + 256 + 12 :, 24 : 24 + 320][:320]
    inner = detail[8:-8, 8:-8]
    busy = (inner.max(2) == 250) | (inner.max(2) == 5)
    side = 320 // zoom
    # All of the patch is inside when it fits, and nothing but patch when it fills the detail.
    assert busy.mean() == pytest.approx(min(1, 40**2 / side**2), abs=0.06)
    if side <= 40:
        runs = np.flatnonzero(np.diff(inner[inner.shape[0] // 2, :, 0].astype(int)))
        assert set(np.diff(runs)) == {zoom}


def test_mark_surrounds_the_busiest_part(detailed):
    sheet = comparison_sheet([("a", detailed)], crops=1, zoom=8)
    overview = sheet[52 : 52 + 256, 24 : 24 + 320]
    rows, columns = np.nonzero((overview == MARK).all(2))
    assert 155 <= rows.min() <= rows.max() <= 205
    assert 55 <= columns.min() <= columns.max() <= 105


def test_details_do_not_overlap():
    noise = np.random.default_rng(0).integers(0, 256, (240, 360, 3), dtype=np.uint8)
    noise[:, 180:] //= 4  # the three most detailed parts are all wanted in the left half
    sheet = comparison_sheet([("a", noise)], crops=3, zoom=2)
    cell = (360 - 24) // 3
    strip = sheet[12 + 40 + 240 + 12 :][:cell, 24 : 24 + 360]
    parts = [strip[4:-4:2, n * (cell + 12) + 4 : n * (cell + 12) + cell - 4 : 2] for n in range(3)]
    places = [_find(part[4:12, 4:12], noise) for part in parts]
    for n, (row, column) in enumerate(places):
        for other_row, other_column in places[:n]:
            assert max(abs(row - other_row), abs(column - other_column)) >= cell // 2


def _find(part, picture):
    windows = np.lib.stride_tricks.sliding_window_view(picture, part.shape)[:, :, 0]
    return np.argwhere((windows == part).all((2, 3, 4)))[0]


def test_smaller_picture_shows_the_same_part(detailed):
    """A picture of flat quarters, at half the size, gives the same sheet below its heading."""
    large = np.kron(np.array([[20, 200], [140, 90]], np.uint8), np.ones((128, 160), np.uint8))[..., None].repeat(3, 2)
    sheet = comparison_sheet([("a", large[::2, ::2]), ("a", large)], reference=detailed)
    column = 320 + 24
    np.testing.assert_array_equal(sheet[52:, 24 : 24 + 320], sheet[52:, 24 + column : 24 + column + 320])


def test_large_pictures_are_shrunk_and_long_labels_fit():
    large = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    sheet = comparison_sheet([("a very long label " * 10, large), ("b", large)])
    assert sheet.shape[1] == 2 * 720 + 3 * 24


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 16), (16, 400)])
def test_tiny_pictures_still_make_a_readable_sheet(size):
    sheet = comparison_sheet([("a", np.zeros((*size, 3), np.uint8))], crops=3)
    assert sheet.shape[1] >= 240


def test_wrong_input_is_refused(detailed):
    with pytest.raises(ValueError, match="there are no pictures to compare"):
        comparison_sheet([])
    with pytest.raises(ValueError, match="cannot show 4 details, expected 1 to 3"):
        comparison_sheet([("a", detailed)], crops=4)
    with pytest.raises(ValueError, match="cannot enlarge 0 times"):
        comparison_sheet([("a", detailed)], zoom=0)
    with pytest.raises(ValueError, match="picture 'a' is float64"):
        comparison_sheet([("a", detailed / 255)])
    with pytest.raises(ValueError, match="picture 'b' is 200x256, the reference is 320x256"):
        comparison_sheet([("b", detailed[:, :200]), ("a", detailed)])
