from __future__ import annotations

import logging
import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gvr_core.references import ReferenceRanges, fit_reference, time_indices

PAPER = ReferenceRanges()


def test_paper_ranges() -> None:
    target, references = time_indices(20, 10, 20, PAPER)
    assert target == list(range(20))
    assert references == [*range(20, 30), *range(30, 50)]


def test_short_target_keeps_the_papers_starts() -> None:
    assert time_indices(5, 2, 3, PAPER) == ([0, 1, 2, 3, 4], [20, 21, 30, 31, 32])


def test_81_frames_move_the_references_behind_the_target() -> None:
    target, references = time_indices(21, 1, 1, PAPER)
    assert target[-1] == 20
    assert references == [21, 31]


def test_no_references() -> None:
    assert time_indices(3, 0, 0, PAPER) == ([0, 1, 2], [])


@given(
    target_frames=st.integers(1, 60),
    image_start=st.integers(0, 30),
    gap=st.integers(0, 10),
    max_images=st.integers(0, 12),
    max_video=st.integers(0, 30),
    data=st.data(),
)
@settings(deadline=None)
def test_positions_never_collide(
    target_frames: int, image_start: int, gap: int, max_images: int, max_video: int, data: st.DataObject
) -> None:
    ranges = ReferenceRanges(
        image_start=image_start,
        video_start=image_start + max_images + gap,
        max_images=max_images,
        max_video=max_video,
    )
    num_images = data.draw(st.integers(0, max_images))
    video_frames = data.draw(st.integers(0, max_video))
    target, references = time_indices(target_frames, num_images, video_frames, ranges)
    assert len(target) == target_frames
    assert len(references) == num_images + video_frames
    positions = target + references
    assert positions == sorted(set(positions))


def test_too_many_references() -> None:
    with pytest.raises(ValueError, match="got 11 reference images, expected at most 10"):
        time_indices(20, 11, 0, PAPER)
    with pytest.raises(ValueError, match="has 21 latent frames, expected at most 20"):
        time_indices(20, 0, 21, PAPER)


@pytest.mark.parametrize("counts", [(0, 1, 1), (5, -1, 0), (5, 0, -1)])
def test_impossible_counts(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected at least 1, 0 and 0"):
        time_indices(*counts, PAPER)


def test_overlapping_ranges() -> None:
    with pytest.raises(ValueError, match="starts at 25, inside the 10 positions of the images from 20 on"):
        ReferenceRanges(video_start=25)
    with pytest.raises(ValueError, match="max_video of the reference ranges is -1"):
        ReferenceRanges(max_video=-1)


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), height=st.integers(12, 20), width=st.integers(12, 20))
@settings(deadline=None, max_examples=40)
def test_smaller_reference_is_centred_in_zeros_and_untouched(rows: int, columns: int, height: int, width: int) -> None:
    image = torch.rand(3, rows, columns, generator=torch.Generator().manual_seed(rows)) + 0.1
    fitted = fit_reference(image, height, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    expected = np.pad(
        image.numpy(), ((0, 0), (top, height - rows - top), (left, width - columns - left)), constant_values=0
    )
    np.testing.assert_array_equal(fitted.numpy(), expected)


def test_video_is_fitted_frame_by_frame() -> None:
    video = torch.rand(3, 4, 50, 30, generator=torch.Generator().manual_seed(0))
    fitted = fit_reference(video, 20, 24)
    assert fitted.shape == (3, 4, 20, 24)
    for t in range(4):
        torch.testing.assert_close(fitted[:, t], fit_reference(video[:, t], 20, 24))


@given(rows=st.integers(1, 80), columns=st.integers(1, 80), height=st.integers(1, 40), width=st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_any_size_fits_with_its_aspect(rows: int, columns: int, height: int, width: int) -> None:
    fitted = fit_reference(torch.ones(3, rows, columns), height, width)
    assert fitted.shape == (3, height, width)
    filled = fitted[0] == 1
    got = (int(filled.any(1).sum()), int(filled.any(0).sum()))
    factor = min(1.0, height / rows, width / columns)
    assert all(
        abs(size - max(1.0, factor * full)) <= 0.5 + 1e-6 for size, full in zip(got, (rows, columns), strict=True)
    )
    assert factor == 1 or got[0] == height or got[1] == width


def test_shrinking_is_area_averaging_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    image = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(1))
    with caplog.at_level(logging.INFO, logger="gvr"):
        fitted = fit_reference(image, 8, 12)
    expected = cv2.resize(image.permute(1, 2, 0).numpy(), (12, 8), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(fitted.permute(1, 2, 0).numpy(), expected, atol=1e-6)
    assert "a reference of 48 x 32 pixels is larger than the target: shrunk to 12 x 8" in caplog.text


def test_nothing_is_logged_when_it_fits(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="gvr"):
        fit_reference(torch.zeros(3, 8, 8), 8, 8)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (torch.zeros(8, 8), "expected an image"),
        (torch.zeros(1, 3, 2, 8, 8), "expected an image"),
        (torch.zeros(3, 0, 8, 8), "at least one frame"),
        (torch.zeros(3, 8, 0), "at least one frame and one pixel"),
        (torch.zeros(4, 8, 8), "has 4 channels, expected 3"),
        (torch.zeros(8, 8, 3), "has 8 channels, expected 3"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "divide 8-bit pixels by 255"),
        (torch.full((3, 8, 8), math.nan), "NaN or infinite"),
        (torch.full((3, 2, 8, 8), math.inf), "NaN or infinite"),
    ],
)
def test_invalid_references(reference: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_reference(reference, 16, 16)


def test_invalid_target_size() -> None:
    with pytest.raises(ValueError, match="target size is 0 x 16"):
        fit_reference(torch.zeros(3, 8, 8), 0, 16)
