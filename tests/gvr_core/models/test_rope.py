from __future__ import annotations

import cmath

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gvr_core.models.rope import apply_rotary, axis_channels, rotary_table

CPU = torch.device("cpu")


@pytest.mark.parametrize(("head_dim", "expected"), [(128, (44, 42, 42)), (64, (24, 20, 20)), (4, (4, 0, 0))])
def test_axis_channels_are_wans(head_dim, expected):
    assert axis_channels(head_dim) == expected


@given(half=st.integers(1, 128))
@settings(deadline=None)
def test_axis_channels_add_up_in_pairs(half):
    axes = axis_channels(2 * half)
    assert sum(axes) == 2 * half
    assert all(n % 2 == 0 and n >= 0 for n in axes)
    assert axes[0] > 0


@pytest.mark.parametrize("head_dim", [0, 7])
def test_odd_heads_are_refused(head_dim):
    with pytest.raises(ValueError, match=f"{head_dim} channels, expected an even number"):
        rotary_table(head_dim, [0], 1, 1, device=CPU)


@given(
    times=st.lists(st.integers(0, 60), min_size=1, max_size=3),
    height=st.integers(1, 3),
    width=st.integers(1, 3),
    half=st.integers(1, 20),
)
@settings(max_examples=25, deadline=None)
def test_rotation_is_the_complex_product_of_the_definition(times, height, width, half):
    x = torch.randn(1, 1, len(times) * height * width, 2 * half, generator=torch.Generator().manual_seed(half))
    y = apply_rotary(x, rotary_table(2 * half, times, height, width, device=CPU))
    token = 0
    for t in times:
        for h in range(height):
            for w in range(width):
                pair = 0
                for position, channels in zip((t, h, w), axis_channels(2 * half), strict=True):
                    for i in range(channels // 2):
                        real, imag = x[0, 0, token, 2 * pair : 2 * pair + 2].tolist()
                        turned = complex(real, imag) * cmath.exp(1j * position * 10000 ** (-2 * i / channels))
                        assert y[0, 0, token, 2 * pair].item() == pytest.approx(turned.real, abs=1e-5)
                        assert y[0, 0, token, 2 * pair + 1].item() == pytest.approx(turned.imag, abs=1e-5)
                        pair += 1
                token += 1


def test_scores_depend_on_distances_only():
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 32, generator=generator).double().expand(2, 1, 1, 2, 32).unbind()

    def score(first, second):
        rotary = rotary_table(32, [first, second], 1, 1, device=CPU)
        return apply_rotary(q, rotary)[0, 0, 0] @ apply_rotary(k, rotary)[0, 0, 1]

    torch.testing.assert_close(score(0, 7), score(20, 27), rtol=1e-5, atol=1e-5)
    assert abs(score(0, 7) - score(0, 8)) > 1e-3


def test_dtype_is_kept_and_computed_wide():
    x = torch.randn(1, 2, 6, 8, generator=torch.Generator().manual_seed(0))
    rotary = rotary_table(8, [0, 25], 1, 3, device=CPU)
    assert apply_rotary(x.double(), rotary).dtype == torch.float64
    low = x.bfloat16()
    assert torch.equal(apply_rotary(low, rotary), apply_rotary(low.float(), rotary).bfloat16())
