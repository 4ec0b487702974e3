import numpy as np
import pytest
from scipy.ndimage import laplace

from train.pairs.clip_filter import measure_clip, rejection, uniform_positions
from train.pairs.config import FilterConfig
from train.pairs.source_clips import Clip


class Frames(Clip):
    """A clip in memory."""

    def __init__(self, frames):
        super().__init__("clip", None)
        object.__setattr__(self, "array", frames)

    def info(self):
        from gvr_core.video import VideoInfo

        _, height, width, _ = self.array.shape
        return VideoInfo(width=width, height=height, fps=24, frames=None, has_audio=False, duration=None)

    def frames(self):
        return iter(self.array)


def measured(frames, **kwargs):
    config = FilterConfig(short_side=frames.shape[1], **kwargs)
    return measure_clip(Frames(frames), config, None), config


def test_positions_are_uniform_and_never_twice():
    assert uniform_positions(100, 10) == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    assert uniform_positions(3, 10) == [0, 1, 2]


def test_luma_and_sharpness_are_those_of_other_libraries():
    gray = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 1), dtype=np.uint8)
    measures, _ = measured(np.repeat(gray, 3, axis=3))
    used = gray[uniform_positions(12, 10)][..., 0].astype(float)
    assert measures.luma == pytest.approx(used.mean(), abs=1e-9)
    # OpenCV's border is reflected without the edge pixel, SciPy calls that "mirror"
    assert measures.laplacian == pytest.approx(np.mean([laplace(f, mode="mirror").var() for f in used]))
    assert measures.frames == 12


@pytest.mark.parametrize(("level", "reason"), [(10, "too dark"), (245, "too bright"), (128, "too blurred")])
def test_flat_clips_are_dropped_for_their_level(level, reason):
    measures, config = measured(np.full((4, 32, 32, 3), level, np.uint8))
    assert rejection(measures, config, "none").startswith(reason)


@pytest.mark.parametrize(
    ("name", "value", "dropped"), [("musiq", 39, 1), ("musiq", 41, 0), ("piqe", 85, 1), ("piqe", 70, 0)]
)
def test_quality_counts_in_its_own_direction(name, value, dropped):
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    measures = measure_clip(Frames(frames), FilterConfig(short_side=32), lambda frame: value)
    reason = rejection(measures, FilterConfig(), name)
    assert (reason is not None) == bool(dropped)
    if reason:
        assert f"{name.upper()} {value}" in reason


@pytest.mark.parametrize(("name", "good"), [("musiq", 60.0), ("piqe", 20.0)])
def test_scores_that_are_no_numbers_are_left_out(name, good):
    """PIQE of a black frame is nan; nan is not above any limit, and in a mean it spoils the rest."""
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    scores = iter([float("nan"), good, float("inf"), good])
    measures = measure_clip(Frames(frames), FilterConfig(short_side=32), lambda frame: next(scores))
    assert measures.quality == good
    assert rejection(measures, FilterConfig(), name) is None
    measures = measure_clip(Frames(frames), FilterConfig(short_side=32), lambda frame: float("nan"))
    assert measures.quality is None
    assert rejection(measures, FilterConfig(), name) == (
        f"no picture quality: {name.upper()} gave no number for any frame"
    )
