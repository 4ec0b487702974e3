"""Temporal units: how frames are cut, and how far information travels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gvr_core.attention import AttentionConfig, TokenGrid, attend, full_attention
from gvr_core.attention.temporal_units import unit_bounds

FULL = AttentionConfig(unit=5)
SPARSE = AttentionConfig(kind="sparse_local", window=(2, 2), top_k=99, unit=5)


def run_layers(x: Tensor, grid: TokenGrid, config: AttentionConfig, layers: int) -> Tensor:
    """A residual chain, `b heads n d`; halved, because growing tokens would turn the softmax into a hard choice."""
    for layer in range(layers):
        x = (x + attend(x, x, x, grid=grid, layer=layer, config=config)) / 2
    return x


def changed_frames(grid: TokenGrid, config: AttentionConfig, layers: int, frame: int) -> list[int]:
    """Frames whose output moves at all when one frame of the input does."""
    x = torch.randn(1, 2, grid.length, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = x.unflatten(2, (grid.total_frames, -1)).clone()
    moved[:, :, frame] += 1.0
    difference = run_layers(moved.flatten(2, 3), grid, config, layers) - run_layers(x, grid, config, layers)
    per_frame = difference.unflatten(2, (grid.total_frames, -1)).abs().amax(dim=(0, 1, 3, 4))
    return per_frame.nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("frames", "shifted", "sizes"),
    [
        (20, False, [5, 5, 5, 5]),
        (20, True, [2, 5, 5, 5, 3]),
        (6, False, [5, 1]),
        (6, True, [2, 4]),
        (21, True, [2, 5, 5, 5, 4]),
        (5, True, [5]),
        (1, False, [1]),
    ],
)
def test_sizes_of_the_units(frames, shifted, sizes):
    assert [stop - start for start, stop in unit_bounds(frames, 5, shifted)] == sizes


@settings(deadline=None, max_examples=200)
@given(data=st.data(), frames=st.integers(1, 60), unit=st.integers(2, 9))
def test_units_tile_the_video_and_the_shifted_cut_joins_what_the_other_separates(data, frames, unit):
    shift = data.draw(st.integers(1, unit - 1))
    cuts = []
    for shifted in (False, True):
        bounds = unit_bounds(frames, unit, shifted, shift)
        assert [frame for start, stop in bounds for frame in range(start, stop)] == list(range(frames))
        assert all(0 < stop - start <= unit for start, stop in bounds)
        cuts.append({start for start, _ in bounds} - {0})
    assert not cuts[0] & cuts[1]


@pytest.mark.parametrize("numbers", [(0, 5, 2), (10, 1, 1), (10, 5, 0), (10, 5, 5)])
def test_impossible_cuts_are_refused(numbers):
    frames, unit, shift = numbers
    with pytest.raises(ValueError, match=f"cannot cut {frames} frames into units of {unit} shifted by {shift}"):
        unit_bounds(frames, unit, True, shift)


@pytest.mark.parametrize("config", [FULL, SPARSE])
@pytest.mark.parametrize("frame", [0, 7, 14, 19])
def test_one_unshifted_layer_changes_the_own_unit_only(config, frame):
    first = frame // 5 * 5
    grid = TokenGrid(20, 0, 2, 4)
    assert changed_frames(grid, config, 1, frame) == list(range(first, first + 5))


@pytest.mark.parametrize("config", [FULL, SPARSE])
@pytest.mark.parametrize("frame", [0, 7, 19])
def test_alternating_layers_reach_every_frame(config, frame):
    assert changed_frames(TokenGrid(20, 0, 2, 4), config, 8, frame) == list(range(20))


@pytest.mark.parametrize("config", [FULL, SPARSE])
def test_references_see_and_are_seen_by_every_unit(config):
    grid = TokenGrid(12, 2, 2, 4)
    everything = list(range(14))
    assert changed_frames(grid, config, 1, 7) == [5, 6, 7, 8, 9, 12, 13]
    assert changed_frames(grid, config, 1, 12) == everything
    assert changed_frames(grid, config, 2, 7) == everything  # through the references


@pytest.mark.parametrize("references", [0, 1, 3])
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("frames", [1, 4, 5, 6, 20])
def test_units_equal_full_attention_with_the_forbidden_pairs_masked(frames, layer, references):
    grid = TokenGrid(frames, references, 2, 3)
    q, k, v = torch.randn(
        3, 2, 2, grid.length, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).unbind()
    shift = 3 if layer == 1 and frames > 5 else 0
    unit = [(n // 6 + shift) // 5 if n // 6 < frames else -1 for n in range(grid.length)]
    seen = torch.tensor([[a == b or -1 in (a, b) for b in unit] for a in unit])
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
    result = attend(q, k, v, grid=grid, layer=layer, config=FULL)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


def test_a_video_of_one_unit_has_full_attention_in_every_layer():
    grid = TokenGrid(5, 1, 2, 3)
    q, k, v = torch.randn(3, 1, 2, grid.length, 4, generator=torch.Generator().manual_seed(2)).unbind()
    for layer in (0, 1):
        assert torch.equal(attend(q, k, v, grid=grid, layer=layer, config=FULL), full_attention(q, k, v))
