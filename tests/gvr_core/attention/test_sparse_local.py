"""Sparse local attention against a dense reference that lists every query's keys one by one."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from gvr_core.attention import (
    AttentionConfig,
    SharedTokens,
    TokenGrid,
    attend,
    full_attention,
    portions,
    window_bands,
)
from gvr_core.attention.selection import select_windows
from gvr_core.attention.windows import fit_shift, merge_windows, split_windows

DIVISIBLE, RAGGED, SMALL = (6, 8), (5, 7), (2, 3)
WINDOW = (3, 4)
CONFIG = AttentionConfig(kind="sparse_local", window=WINDOW, top_k=1)
SHIFTED = replace(CONFIG, window_shift=True)
IN_UNITS = AttentionConfig(kind="sparse_local", window=WINDOW, top_k=1, unit=5)


def random_qkv(grid: TokenGrid, dtype: torch.dtype, heads: int = 2, dim: int = 4, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (3, 2, heads, grid.length, dim)
    return list(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).unbind())


def window_tokens(
    frame: int, grid: TokenGrid, window: tuple[int, int], shifted: bool = False
) -> list[tuple[list[int], set[int]]]:
    """Of each window of one frame: the numbers of its tokens, and those of them whose output it gives."""

    def spans(length: int, size: int) -> list[tuple[range, range]]:
        size = min(size, length)
        cuts = list(range(size // 2 if shifted and size < length else 0, length, size))
        cuts = cuts if cuts[0] == 0 else [0, *cuts]
        starts = [min(cut, length - size) for cut in cuts]
        ends = [*cuts[1:], length]
        return [(range(s, s + size), range(c, e)) for s, c, e in zip(starts, cuts, ends, strict=True)]

    def number(y: int, x: int) -> int:
        return (frame * grid.height + y) * grid.width + x

    return [
        ([number(y, x) for y in rows for x in columns], {number(y, x) for y in own_rows for x in own_columns})
        for rows, own_rows in spans(grid.height, window[0])
        for columns, own_columns in spans(grid.width, window[1])
    ]


def frame_units(frames: int, unit: int, odd_layer: bool) -> list[int]:
    """Number of the unit that each target frame lies in."""
    if unit == 0 or frames <= unit:
        return [0] * frames
    return [(frame + (unit - 2 if odd_layer else 0)) // unit for frame in range(frames)]


def dense_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grid: TokenGrid,
    layer: int,
    config: AttentionConfig,
    shared: SharedTokens | None = None,
) -> Tensor:
    """One softmax per query window over the multiset of keys in the windows it attends to, and the shared keys."""
    if shared is None:
        shared = SharedTokens(k[:, :, :0], v[:, :, :0])
    units = frame_units(grid.frames, config.unit, layer % 2 == 1)
    shifted = config.window_shift and layer % 2 == 1
    windows = [
        (frame, tokens, owned)
        for frame in range(grid.frames + grid.references)
        for tokens, owned in window_tokens(frame, grid, config.window, shifted)
    ]
    is_reference = [frame >= grid.frames for frame, _, _ in windows]
    batches, heads = q.shape[:2]
    rows: dict[tuple[int, int, int], Tensor] = {}
    for batch, head in product(range(batches), range(heads)):
        q_mean = torch.stack([q[batch, head, tokens].detach().mean(0) for _, tokens, _ in windows])
        k_mean = torch.stack([k[batch, head, tokens].detach().mean(0) for _, tokens, _ in windows])
        scores = (q_mean @ k_mean.T).tolist()
        for own, (frame, tokens, owned) in enumerate(windows):
            visible = [
                i
                for i, (other, _, _) in enumerate(windows)
                if i != own and (is_reference[own] or is_reference[i] or units[other] == units[frame])
            ]
            visible.sort(key=lambda i, own=own: -scores[own][i])
            best_reference = [i for i in visible if is_reference[i]][:1]
            rest = [i for i in visible if i not in best_reference]
            keys = [token for i in [own, *best_reference, *rest[: config.top_k]] for token in windows[i][1]]
            attended_k, attended_v = (
                torch.cat([x[batch, head, keys], extra[batch, head]]) for x, extra in zip((k, v), shared, strict=True)
            )
            logits = q[batch, head, tokens] @ attended_k.T / math.sqrt(q.shape[-1])
            out = logits.softmax(-1) @ attended_v
            for row, token in enumerate(tokens):
                if token in owned:
                    rows[batch, head, token] = out[row]
    return torch.stack(
        [
            torch.stack([torch.stack([rows[b, h, n] for n in range(grid.length)]) for h in range(heads)])
            for b in range(batches)
        ]
    )


CASES = [
    *[(t, size, 0, 1, CONFIG) for t in (1, 4, 5, 6) for size in (DIVISIBLE, RAGGED, SMALL)],
    *[(t, RAGGED, refs, layer, IN_UNITS) for t in (1, 4, 5, 6) for refs in (0, 1, 3) for layer in (0, 1)],
    *[(6, size, refs, 1, IN_UNITS) for size in (DIVISIBLE, SMALL) for refs in (1, 3)],
    *[(20, RAGGED, 0, 0, CONFIG), (20, SMALL, 1, 1, IN_UNITS), (20, SMALL, 3, 0, CONFIG)],
    *[(4, RAGGED, refs, 0, replace(CONFIG, top_k=k)) for refs in (0, 1, 3) for k in (0, 3, 99)],
    *[(5, size, 1, layer, SHIFTED) for size in (DIVISIBLE, RAGGED, SMALL, (4, 9)) for layer in (0, 1)],
    (6, (8, 11), 2, 1, replace(SHIFTED, unit=5)),
]


@pytest.mark.parametrize(("frames", "size", "references", "layer", "config"), CASES)
def test_output_and_gradients_equal_the_dense_reference(frames, size, references, layer, config):
    grid = TokenGrid(frames, references, *size)
    qkv = [x.requires_grad_() for x in random_qkv(grid, torch.float64)]
    weight = random_qkv(grid, torch.float64, seed=1)[0]

    result = attend(*qkv, grid=grid, layer=layer, config=config)
    expected = dense_reference(*qkv, grid, layer, config)

    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    with torch.no_grad():  # on a CPU another implementation, band by band
        torch.testing.assert_close(attend(*qkv, grid=grid, layer=layer, config=config), expected, rtol=0, atol=1e-12)
    gradients = torch.autograd.grad((result * weight).sum(), qkv)
    expected_gradients = torch.autograd.grad((expected * weight).sum(), qkv)
    torch.testing.assert_close(gradients, expected_gradients, rtol=0, atol=1e-10)


@pytest.mark.parametrize("references", [0, 1, 3])
@pytest.mark.parametrize("frames", [1, 4, 5, 6, 20])
def test_all_windows_of_a_divisible_grid_are_full_attention(frames, references):
    grid = TokenGrid(frames, references, *DIVISIBLE)
    q, k, v = random_qkv(grid, torch.float32)
    config = AttentionConfig(kind="sparse_local", window=WINDOW, top_k=10**6)
    result = attend(q, k, v, grid=grid, layer=0, config=config)
    torch.testing.assert_close(result, full_attention(q, k, v), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", [DIVISIBLE, RAGGED, SMALL, (7, 8), (6, 9), (4, 5)])
def test_windows_merge_back_to_the_tokens_they_were_cut_from(size, shifted):
    grid = TokenGrid(2, 1, *size)
    x = random_qkv(grid, torch.float32)[0]
    window = (min(WINDOW[0], size[0]), min(WINDOW[1], size[1]))
    shift = fit_shift(grid, window, (window[0] // 2, window[1] // 2)) if shifted else (0, 0)
    windows = split_windows(x, grid, window, shift)
    expected = [x[:, :, tokens] for frame in range(3) for tokens, _ in window_tokens(frame, grid, window, shifted)]
    assert torch.equal(windows, torch.stack(expected, dim=1))
    assert torch.equal(merge_windows(windows, grid, window, shift), x)


def test_a_token_in_two_windows_is_taken_from_the_first():
    grid = TokenGrid(1, 0, 5, 7)
    number = torch.arange(4.0)[None, :, None, None, None].expand(1, 4, 1, 12, 1)
    merged = merge_windows(number, grid, (3, 4)).view(5, 7)
    rows, columns = torch.arange(5)[:, None] // 3, torch.arange(7)[None] // 4
    assert torch.equal(merged, (2 * rows + columns).float())


def test_tokens_laid_out_as_b_n_heads_d_give_the_same():
    grid = TokenGrid(3, 1, *RAGGED)
    q, k, v = random_qkv(grid, torch.float64)
    strided = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    expected = attend(q, k, v, grid=grid, layer=0, config=CONFIG)
    torch.testing.assert_close(attend(*strided, grid=grid, layer=0, config=CONFIG), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("references", "config"), [(0, CONFIG), (2, IN_UNITS), (1, replace(SHIFTED, unit=5))])
@pytest.mark.parametrize("size", [DIVISIBLE, RAGGED, SMALL])
def test_shared_tokens_are_attended_by_all(size, references, config):
    grid = TokenGrid(6, references, *size)
    qkv = random_qkv(grid, torch.float64)
    shared = SharedTokens(*torch.randn(2, 2, 2, 5, 4, dtype=torch.float64))
    expected = dense_reference(*qkv, grid, 1, config, shared)
    result = attend(*qkv, grid=grid, layer=1, config=config, shared=shared)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("unit", [0, 5])
def test_shared_tokens_with_full_attention(unit):
    grid = TokenGrid(7, 1, *SMALL)
    q, k, v = random_qkv(grid, torch.float64)
    shared = SharedTokens(*torch.randn(2, 2, 2, 5, 4, dtype=torch.float64))
    mask = torch.ones(grid.length, grid.length + 5, dtype=torch.bool)
    units = frame_units(7, unit, odd_layer=False)
    for row, column in product(range(7), range(7)):
        cells = [slice(frame * grid.frame_length, (frame + 1) * grid.frame_length) for frame in (row, column)]
        mask[cells[0], cells[1]] = units[row] == units[column]
    expected = torch.nn.functional.scaled_dot_product_attention(
        q, torch.cat([k, shared.k], 2), torch.cat([v, shared.v], 2), attn_mask=mask
    )
    result = attend(q, k, v, grid=grid, layer=0, config=AttentionConfig(unit=unit), shared=shared)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


def test_dense_layers_keep_full_attention():
    grid = TokenGrid(6, 1, *RAGGED)
    q, k, v = random_qkv(grid, torch.float64)
    config = replace(IN_UNITS, dense_layers=(1, 3))
    assert torch.equal(attend(q, k, v, grid=grid, layer=3, config=config), full_attention(q, k, v))
    sparse = attend(q, k, v, grid=grid, layer=2, config=IN_UNITS)
    assert torch.equal(attend(q, k, v, grid=grid, layer=2, config=config), sparse)


@pytest.mark.parametrize("threads", [1, 4, 100])
def test_bands_worked_on_together_do_not_change_the_result(monkeypatch, threads):
    grid = TokenGrid(6, 1, *RAGGED)
    qkv = random_qkv(grid, torch.float64)
    expected = attend(*qkv, grid=grid, layer=1, config=SHIFTED)
    monkeypatch.setattr(window_bands, "WINDOWS_PER_THREAD", threads)
    torch.testing.assert_close(attend(*qkv, grid=grid, layer=1, config=SHIFTED), expected, rtol=0, atol=1e-14)


def test_memory_limits_do_not_change_the_result(monkeypatch):
    grid = TokenGrid(6, 1, *RAGGED)
    q, k, v = random_qkv(grid, torch.float64, heads=5)
    expected = attend(q, k, v, grid=grid, layer=1, config=IN_UNITS)
    # 5 x 7 tokens are 4 windows of 12; half of the memory is for two heads' keys and values, b = 1.
    two_heads = 2 * 2 * 2 * 7 * 4 * 12 * 4 * 8
    monkeypatch.setattr(portions, "MAX_BATCH", 3)
    shapes = []

    def dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        shapes.append(tuple(q.shape))
        return full_attention(q, k, v)

    result = attend(q, k, v, grid=grid, layer=1, config=IN_UNITS, dense=dense, extra_bytes=two_heads)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-14)
    assert max(shape[0] for shape in shapes) == 3
    assert {shape[1] for shape in shapes} == {2, 1}


@pytest.mark.parametrize("top_k", [1, 8, 32])
@pytest.mark.parametrize("shared_length", [0, 50])
def test_gathered_keys_stay_within_the_memory_that_is_given(top_k, shared_length):
    grid = TokenGrid(4, 0, 12, 16)
    q, k, v = random_qkv(grid, torch.float32, heads=4)
    shared = SharedTokens(*torch.randn(2, 2, 4, shared_length, 4)) if shared_length else None
    config = replace(CONFIG, top_k=top_k)
    expected = attend(q, k, v, grid=grid, layer=0, config=config, shared=shared)
    given, sizes = 400_000, []

    def dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        sizes.append((k.numel() + v.numel()) * k.element_size())
        return full_attention(q, k, v)

    result = attend(q, k, v, grid=grid, layer=0, config=config, shared=shared, dense=dense, extra_bytes=given)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)
    assert max(sizes) <= given / 2


def test_the_batch_of_one_call_stays_below_the_limit_of_cuda_kernels():
    grid = TokenGrid(1, 0, 16, 16)
    q, k, v = torch.randn(3, 300, 1, grid.length, 1)
    batches = []

    def dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        batches.append(len(q))
        return q

    config = AttentionConfig(kind="sparse_local", window=(1, 1), top_k=0)
    attend(q, k, v, grid=grid, layer=0, config=config, dense=dense)
    assert sum(batches) == 300 * 256 > 65535 > max(batches)


def test_keys_per_query_do_not_grow_with_the_video():
    for frames in (2, 8):
        grid = TokenGrid(frames, 0, *RAGGED)
        seen = []

        def dense(q: Tensor, k: Tensor, v: Tensor, seen=seen) -> Tensor:
            seen.append((q.shape[2], k.shape[2], v.shape[2]))
            return full_attention(q, k, v)

        attend(*random_qkv(grid, torch.float32), grid=grid, layer=0, config=CONFIG, dense=dense)
        assert set(seen) == {(12, 24, 24)}


def test_a_future_window_can_be_selected_and_heads_select_for_themselves():
    q_mean = torch.eye(4)[None, None].expand(1, 2, 4, 4)
    k_mean = torch.stack([torch.eye(4).roll(1, 0), torch.eye(4).roll(-1, 0)])[None]
    selected = select_windows(q_mean, k_mean, first=0, references=0, top_k=1)
    assert selected[0, 0].tolist() == [[0, 1], [1, 2], [2, 3], [3, 0]]
    assert selected[0, 1].tolist() == [[0, 3], [1, 0], [2, 1], [3, 2]]


def test_the_best_reference_is_attended_however_badly_it_scores():
    q_mean = torch.ones(1, 1, 6, 1)
    k_mean = torch.tensor([5.0, 4.0, 3.0, 2.0, -9.0, -8.0]).view(1, 1, 6, 1)
    target = select_windows(q_mean[:, :, :4], k_mean, first=0, references=2, top_k=1)
    assert target[0, 0].tolist() == [[0, 5, 1], [1, 5, 0], [2, 5, 0], [3, 5, 0]]
    reference = select_windows(q_mean[:, :, 4:], k_mean, first=4, references=2, top_k=1)
    assert reference[0, 0].tolist() == [[4, 5, 0], [5, 4, 0]]


def test_a_lone_reference_window_has_no_other_reference_to_attend():
    k_mean = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3, 1)
    selected = select_windows(torch.ones(1, 1, 1, 1), k_mean, first=2, references=1, top_k=1)
    assert selected[0, 0].tolist() == [[2, 1]]


def test_autocast_does_not_change_the_selection():
    q_mean, k_mean = torch.randn(2, 1, 2, 200, 16, generator=torch.Generator().manual_seed(0))
    expected = select_windows(q_mean, k_mean, first=0, references=0, top_k=3)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(select_windows(q_mean, k_mean, first=0, references=0, top_k=3), expected)


def test_bfloat16_stays_bfloat16_and_close_to_float32():
    grid = TokenGrid(2, 1, *RAGGED)
    qkv = [x.bfloat16() for x in random_qkv(grid, torch.float32)]
    result = attend(*qkv, grid=grid, layer=0, config=CONFIG)
    expected = attend(*(x.float() for x in qkv), grid=grid, layer=0, config=CONFIG)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), expected, rtol=0.02, atol=0.02)
