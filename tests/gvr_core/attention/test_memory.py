"""Sparse local attention keeps to the memory it is given, counted tensor by tensor at the sizes people run."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gvr_core.attention import AttentionConfig, SharedTokens, TokenGrid, attend
from gvr_core.attention.sparse_local import EXTRA_BYTES

from ..live_bytes import LiveBytes

HD_77, UHD_77 = TokenGrid(20, 0, 68, 120), TokenGrid(20, 0, 135, 240)
SPARSE = AttentionConfig(kind="sparse_local")
UNITS, ALL = replace(SPARSE, unit=5, window_shift=True), replace(SPARSE, top_k=10**6)


def no_arithmetic(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """A kernel that takes no memory beside its result, as flash attention."""
    return torch.empty(q.shape, dtype=q.dtype, device=q.device)


def extra_bytes(grid, config, *, heads=12, batch=1, shared=0, layer=0, **options) -> tuple[int, int]:
    """What a call takes beside inputs and result, and the size of one head's queries."""
    make = lambda n: torch.empty(batch, heads, n, 128, dtype=torch.bfloat16, device="meta")  # noqa: E731
    qkv, extra = [make(grid.length) for _ in range(3)], [make(shared) for _ in range(2)]
    with LiveBytes(*qkv, *extra) as live, torch.no_grad():
        result = attend(
            *qkv,
            grid=grid,
            layer=layer,
            config=config,
            dense=no_arithmetic,
            shared=SharedTokens(*extra) if shared else None,
            **options,
        )
    one = result.numel() * result.element_size()
    return live.peak - one, one // (heads * batch)


@pytest.mark.parametrize("config", [SPARSE, UNITS, replace(SPARSE, top_k=8)], ids=["1", "units", "8"])
@pytest.mark.parametrize(
    ("grid", "options"),
    [
        (HD_77, {}),
        (HD_77, {"batch": 3}),
        (HD_77, {"heads": 24, "shared": 256}),
        (replace(HD_77, references=4), {"layer": 1}),
        (UHD_77, {}),
    ],
    ids=["1080p", "batch", "text", "references", "4K"],
)
def test_a_call_keeps_to_the_default(grid, options, config):
    extra, _ = extra_bytes(grid, config, **options)
    assert extra <= EXTRA_BYTES


def test_windows_that_attend_to_all_take_no_more():
    extra, _ = extra_bytes(TokenGrid(5, 0, 68, 120), ALL, heads=24)
    assert extra <= EXTRA_BYTES


@pytest.mark.parametrize("given", [2**27, 2**28, 2**29])
def test_less_memory_is_kept_to_as_far_as_one_head_allows(given):
    extra, head = extra_bytes(HD_77, SPARSE, extra_bytes=given)
    assert extra <= max(given, 3.5 * head)
    assert extra_bytes(HD_77, SPARSE, extra_bytes=2**29)[0] < extra_bytes(HD_77, SPARSE)[0]


@pytest.mark.parametrize("top_k", [1, 8, 10**6])
@pytest.mark.parametrize("given", [2**21, 2**22, 2**24])
def test_a_cpu_keeps_to_it_too(top_k, given):
    grid = TokenGrid(5, 0, 34, 60)
    qkv = list(torch.randn(3, 1, 2, grid.length, 64))
    call = {"grid": grid, "layer": 0, "config": replace(SPARSE, top_k=top_k)}
    with torch.no_grad():
        expected = attend(*qkv, **call)
        with LiveBytes(*qkv) as live:
            result = attend(*qkv, **call, extra_bytes=given)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)
    # The least there can be: keys and values of one head in windows, and once more all that one window attends to.
    head = qkv[0].nbytes // 2
    assert live.peak - qkv[0].nbytes <= max(given, 5 * head)
