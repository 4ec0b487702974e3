"""The entry to attention: full attention, the plug for a host's kernel, and refused input."""

import math

import pytest
import torch

from gvr_core.attention import AttentionConfig, TokenGrid, attend, full_attention

GRID = TokenGrid(6, 1, 3, 4)
CONFIGS = [
    AttentionConfig(),
    AttentionConfig(unit=5),
    AttentionConfig(kind="sparse_local", window=(2, 3)),
    AttentionConfig(kind="sparse_local", window=(2, 3), unit=5),
]


def random_qkv(n: int = GRID.length) -> tuple[torch.Tensor, ...]:
    return torch.randn(3, 2, 2, n, 8, generator=torch.Generator().manual_seed(0)).unbind()


def test_full_attention_is_softmax_attention():
    q, k, v = random_qkv()
    expected = (q @ k.transpose(-1, -2) / math.sqrt(8)).softmax(-1) @ v
    torch.testing.assert_close(full_attention(q, k, v), expected, rtol=0, atol=1e-5)


def test_the_default_config_is_full_attention_over_everything():
    q, k, v = random_qkv()
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert torch.equal(attend(q, k, v, grid=GRID, layer=1, config=AttentionConfig()), expected)


@pytest.mark.parametrize("config", CONFIGS)
def test_another_dense_operation_is_used_for_every_part(config):
    q, k, v = random_qkv()
    zeros = attend(q, k, v, grid=GRID, layer=1, config=config, dense=lambda q, k, v: torch.zeros_like(q))
    assert zeros.shape == q.shape
    assert not zeros.any()


@pytest.mark.parametrize("config", CONFIGS)
def test_constant_values_come_back_in_place(config):
    """Attention averages values, so values that are equal everywhere are returned whatever is attended to."""
    q, k, _ = random_qkv()
    v = torch.randn(2, 2, 1, 8).expand(2, 2, GRID.length, 8)
    torch.testing.assert_close(attend(q, k, v, grid=GRID, layer=1, config=config), v, rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_sequence_that_does_not_fit_the_grid_is_refused(config):
    with pytest.raises(ValueError, match=r"83 tokens.*6 frames and 1 reference frames of 3x4 tokens expects 84"):
        attend(*random_qkv(83), grid=GRID, layer=0, config=config)


def test_keys_of_another_shape_are_refused():
    q, k, v = random_qkv()
    with pytest.raises(ValueError, match="expected one shape"):
        attend(q, k[:, :, 1:], v[:, :, 1:], grid=GRID, layer=0, config=AttentionConfig())


def test_length_of_a_grid():
    assert TokenGrid(20, 3, 68, 120).length == 23 * 68 * 120


@pytest.mark.parametrize("sizes", [(0, 0, 1, 1), (1, -1, 1, 1), (1, 0, 0, 1), (1, 0, 1, 0)])
def test_an_empty_grid_is_refused(sizes):
    with pytest.raises(ValueError, match="expected at least"):
        TokenGrid(*sizes)
