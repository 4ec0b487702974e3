"""Joint sequences of text and video under masks: with all windows selected, against plain masked attention."""

import itertools

import torch
from pack_in_host import answer, pack_module
from torch.nn import functional

calls, patched = pack_module("nodes.model_calls"), pack_module("nodes.patched_call")
core = pack_module("gvr_core.attention")
HEADS, DIM, TEXT, BATCH = 2, 8, 12, 2
GRID = core.TokenGrid(2, 1, 8, 12)
CONFIG = core.AttentionConfig(kind="sparse_local", window=(4, 6), top_k=1000)
OPEN = {"everything": [range(12)], "prefix": [range(5)], "holes": [[0, 4, 5, 11]], "nothing": [[]]}
OPEN |= {"of each sample": [range(5), [1, 7]], "alike": [range(5), range(5)]}


def masked_attention(mask, text_first, front, heads_first):
    """Difference of a call with the patch to the backend's own result, and what was noted."""
    length = GRID.length + TEXT
    generator = torch.Generator().manual_seed(0)
    shape = (BATCH, HEADS, length, DIM) if heads_first else (BATCH, length, HEADS * DIM)
    qkv = [torch.randn(shape, generator=generator) for _ in range(3)]

    def backend(q, k, v, heads, mask=None, skip_reshape=False, skip_output_reshape=False, **_):
        if not skip_reshape:
            q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        out = functional.scaled_dot_product_attention(q, k, v, None if mask is None else mask[:, None])
        return out if skip_output_reshape else out.transpose(1, 2).flatten(2)

    layout = calls.VideoLayout(GRID, front, text_first)
    call = patched.PatchedCall(CONFIG, layout, 2**20, None, None)
    call.text, call.expects = TEXT, True
    out = call.override(backend, *qkv, HEADS, mask=mask, skip_reshape=heads_first)
    expected = backend(*qkv, HEADS, mask=mask, skip_reshape=heads_first)
    return float((out - expected).abs().max()), [note.kind for note in call.finish()]


found = {}
for text_first, is_bool, front in itertools.product((False, True), (False, True), (0, 1)):
    for name, rows in OPEN.items():
        mask = torch.ones(len(rows), 1, GRID.length + TEXT, dtype=torch.bool)
        for row, tokens in zip(mask[:, 0], rows, strict=True):
            text = row[:TEXT] if text_first else row[GRID.length :]
            text[:] = torch.tensor([n in tokens for n in range(TEXT)])
        given = mask if is_bool else torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
        key = f"{'text' if text_first else 'image'} first, {name}, {'bool' if is_bool else 'float'}, front {front}"
        found[key] = masked_attention(given, text_first, front, heads_first=is_bool)
answer(found)
