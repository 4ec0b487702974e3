from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gvr_core.geometry import (
    LATENT_SPACES,
    MAX_SIDE,
    LatentSpace,
    latent_space,
    pad_frames,
    pair_size,
    plan_short_side,
    plan_upscale,
    round_up,
)

WAN = latent_space("wan21")
spaces = st.sampled_from(list(LATENT_SPACES.values()))


def test_table_of_latent_spaces() -> None:
    table = {name: (space.channels, space.spatial, space.temporal) for name, space in LATENT_SPACES.items()}
    assert table == {
        "wan21": (16, 8, 4),
        "wan22": (48, 16, 4),
        "hunyuan": (16, 8, 4),
        "hunyuan15": (32, 16, 4),
        "nano": (48, 8, 4),
    }
    assert all(space.name == name for name, space in LATENT_SPACES.items())


def test_table_is_read_only() -> None:
    with pytest.raises(TypeError):
        LATENT_SPACES["wan21"] = WAN
    with pytest.raises(dataclasses.FrozenInstanceError):
        WAN.channels = 4


def test_unknown_space_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'wan3' is not known.*wan21.*hunyuan15.*nano"):
        latent_space("wan3")


def test_space_with_a_zero_stride_is_an_error() -> None:
    with pytest.raises(ValueError, match="temporal of latent space 'x' is 0"):
        LatentSpace(name="x", channels=1, spatial=8, temporal=0)


@pytest.mark.parametrize(
    ("frames", "padded", "latent"),
    [(1, 1, 1), (2, 5, 2), (5, 5, 2), (17, 17, 5), (77, 77, 20), (81, 81, 21), (82, 85, 22)],
)
def test_known_frame_counts(frames: int, padded: int, latent: int) -> None:
    assert WAN.padded_frames(frames) == padded
    assert WAN.latent_frames(frames) == latent
    assert WAN.video_frames(latent) == padded


@given(space=spaces, frames=st.integers(1, 10_000))
@settings(deadline=None)
def test_padding_is_the_smallest_that_decodes_to_enough_frames(space: LatentSpace, frames: int) -> None:
    padded = space.padded_frames(frames)
    assert (padded - 1) % space.temporal == 0
    assert 0 <= padded - frames < space.temporal
    assert space.video_frames(space.latent_frames(frames)) == padded


@pytest.mark.parametrize("frames", [0, -3])
def test_no_frames_is_an_error(frames: int) -> None:
    for function in (WAN.padded_frames, WAN.latent_frames, WAN.video_frames):
        with pytest.raises(ValueError, match=f"frames is {frames}, expected at least 1"):
            function(frames)


@given(n=st.integers(0, 10**6), multiple=st.integers(1, 1000))
def test_round_up_is_the_smallest_multiple_not_below(n: int, multiple: int) -> None:
    assert round_up(n, multiple) == math.ceil(n / multiple) * multiple


def test_round_up_to_a_multiple_of_zero_is_an_error() -> None:
    with pytest.raises(ValueError, match="multiple is 0"):
        round_up(5, 0)


@given(frames=st.integers(1, 12))
@settings(deadline=None, max_examples=12)
def test_pad_frames_repeats_the_last_one_and_cuts_back(frames: int) -> None:
    video = torch.rand(2, 3, frames, 4, 5, generator=torch.Generator().manual_seed(frames))
    padded = pad_frames(video, WAN)
    assert padded.shape == (2, 3, WAN.padded_frames(frames), 4, 5)
    assert torch.equal(padded[:, :, :frames], video)
    for extra in padded[:, :, frames:].unbind(2):
        assert torch.equal(extra, video[:, :, -1])


def test_pad_frames_rejects_empty_and_flat_video() -> None:
    with pytest.raises(ValueError, match="frames is 0"):
        pad_frames(torch.zeros(1, 3, 0, 4, 4), WAN)
    with pytest.raises(ValueError, match="4 dimensions, expected 5"):
        pad_frames(torch.zeros(3, 5, 4, 4), WAN)


@pytest.mark.parametrize("name", ["wan21", "wan22"])
def test_1080_rows_are_1088_inside(name: str) -> None:
    plan = plan_upscale(latent_space(name), 540, 960, scale=2.0)
    assert (plan.height, plan.width) == (1080, 1920)
    assert (plan.padded_height, plan.padded_width) == (1088, 1920)


@pytest.mark.parametrize(
    ("height", "width", "scale", "expected"),
    [
        (56, 96, 1.3, (72, 124)),
        (480, 854, 1.5, (720, 1282)),
        (57, 97, 1.0001, (58, 98)),
        (57, 97, 1.0, (57, 97)),
        (480, 832, 2.0, (960, 1664)),
    ],
)
def test_enlarged_sides_are_even(height: int, width: int, scale: float, expected: tuple[int, int]) -> None:
    plan = plan_upscale(WAN, height, width, scale=scale)
    assert (plan.height, plan.width) == expected


def test_1080p_has_120_by_68_tokens() -> None:
    plan = plan_upscale(WAN, 512, 910, target_height=1080)
    assert (plan.latent_height // 2, plan.latent_width // 2) == (68, 120)


@given(
    space=spaces,
    height=st.integers(1, 4000),
    width=st.integers(1, 4000),
    scale=st.floats(1, 4),
    patch=st.integers(1, 4),
)
@settings(deadline=None)
def test_plan_by_scale_covers_the_output_with_whole_patches(
    space: LatentSpace, height: int, width: int, scale: float, patch: int
) -> None:
    plan = plan_upscale(space, height, width, scale=scale, patch=patch)
    assert plan.scale == scale
    for side, output in ((height, plan.height), (width, plan.width)):
        assert output >= side
        assert abs(output - scale * side) <= (0 if scale == 1 else 1)
        assert scale == 1 or output % 2 == 0
    for size, latent, padded in (
        (plan.height, plan.latent_height, plan.padded_height),
        (plan.width, plan.latent_width, plan.padded_width),
    ):
        assert latent % patch == 0
        assert padded == latent * space.spatial
        assert 0 <= padded - size < space.spatial * patch


@given(height=st.integers(1, 2000), width=st.integers(1, 2000), factor=st.floats(1, 4))
@settings(deadline=None)
def test_plan_by_target_height_keeps_aspect(height: int, width: int, factor: float) -> None:
    target = max(height, round(height * factor))
    if width * target / height > MAX_SIDE - 2:
        return
    plan = plan_upscale(WAN, height, width, target_height=target)
    assert plan.height == target
    assert plan.scale == target / height
    assert plan.width % 2 == 0
    assert plan.width >= width
    assert abs(plan.width - width * target / height) <= 1


@pytest.mark.parametrize("scale", [0.0, -2.0, math.nan, math.inf, -math.inf])
def test_scale_that_is_no_positive_number_is_an_error(scale: float) -> None:
    with pytest.raises(ValueError, match=r"scale is .*finite number of at least 1"):
        plan_upscale(WAN, 480, 832, scale=scale)


def test_target_smaller_than_input_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"scale 0\.5 makes the target smaller than the input \(480 x 832\)"):
        plan_upscale(WAN, 480, 832, scale=0.5)
    with pytest.raises(ValueError, match="target_height 479 is smaller than the input's 480 rows"):
        plan_upscale(WAN, 480, 832, target_height=479)


@pytest.mark.parametrize(("height", "width"), [(0, 832), (480, 0), (-480, 832)])
def test_input_without_pixels_is_an_error(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=r"input (height|width) is .*expected at least 1"):
        plan_upscale(WAN, height, width, scale=2)


@pytest.mark.parametrize("target_height", [0, -1080])
def test_target_height_without_pixels_is_an_error(target_height: int) -> None:
    with pytest.raises(ValueError, match=r"target_height is .*expected at least 1"):
        plan_upscale(WAN, 480, 832, target_height=target_height)


def test_exactly_one_way_to_give_the_size() -> None:
    with pytest.raises(ValueError, match="got both"):
        plan_upscale(WAN, 480, 832, scale=2, target_height=960)
    with pytest.raises(ValueError, match="got neither"):
        plan_upscale(WAN, 480, 832)


def test_side_limit() -> None:
    assert plan_upscale(WAN, 16, MAX_SIDE // 2, scale=2).width == MAX_SIDE
    for wrong in ({"scale": 2.001}, {"scale": 1e300}, {"target_height": 33}):
        with pytest.raises(ValueError, match="at most 16384"):
            plan_upscale(WAN, 16, MAX_SIDE // 2, **wrong)


@given(spaces, st.integers(16, 1080), st.integers(16, 1080), st.sampled_from([1080, 1440, 2160]))
def test_short_side_is_exact_and_portrait_is_landscape_turned(space, height, width, short_side) -> None:
    if max(height, width) * short_side > MAX_SIDE * min(height, width):
        return
    plan, turned = (plan_short_side(space, *size, short_side) for size in ((height, width), (width, height)))
    assert min(plan.height, plan.width) == short_side
    assert abs(plan.width * height - plan.height * width) <= 2 * max(height, width)
    assert (plan.height, plan.width, plan.scale) == (turned.width, turned.height, turned.scale)
    assert (plan.padded_height, plan.latent_width) == (turned.padded_width, turned.latent_height)


def test_short_side_below_the_inputs_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"target 720 is smaller than the input's shorter side \(1280 x 832 pixels\)"):
        plan_short_side(WAN, 832, 1280, 720)


@given(spaces, st.integers(1, 3000), st.integers(1, 3000))
def test_a_pair_is_padded_as_the_upscale_of_its_small_video(space, height, width) -> None:
    plan = plan_upscale(space, height, width, scale=2)
    rows, columns = pair_size(space, height, width, scale=2)
    assert (2 * rows, 2 * columns) == (plan.padded_height, plan.padded_width)
    assert (rows, columns) == (round_up(height, space.spatial), round_up(width, space.spatial))


@given(spaces, st.integers(1, 3000), st.integers(1, 6), st.sampled_from([1, 2]))
def test_a_pair_is_whole_cells_and_whole_tokens_and_no_larger(space, side, scale, patch) -> None:
    padded, other = pair_size(space, side, 1, scale=scale, patch=patch)
    assert padded >= side
    assert padded % space.spatial == 0
    assert scale * padded % (space.spatial * patch) == 0
    for smaller in range(padded - space.spatial, side - 1, -1):
        assert smaller % space.spatial or scale * smaller % (space.spatial * patch)
    assert other <= space.spatial * patch


def test_pairs_of_full_hd_are_those_of_the_spec() -> None:
    assert pair_size(latent_space("wan21"), 540, 960, scale=2) == (544, 960)  # clean: 1088 x 1920
    assert pair_size(latent_space("wan22"), 360, 640, scale=2) == (368, 640)  # 46 x 80 cells over 23 x 40
    with pytest.raises(ValueError, match="scale is 0, expected at least 1"):
        pair_size(latent_space("wan21"), 540, 960, scale=0)
