"""Memory that one attention call takes with the patch, in tensors of the queries' size, the result counted.

Everything is on the `meta` device, where storages have sizes but no memory; the bound for copies is as small as it can
be, so what is seen is what the patch takes by itself.
"""

import weakref

import torch
from pack_in_host import answer, pack_module
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

calls, patched = pack_module("nodes.model_calls"), pack_module("nodes.patched_call")
masks, core = pack_module("nodes.text_mask"), pack_module("gvr_core.attention")
HEADS, DIM, TEXT, FRAMES = 12, 16, 32, 4
CONFIG = core.AttentionConfig(kind="sparse_local", window=(9, 12), top_k=1)


class Gauge(TorchDispatchMode):
    """Adds up the storages that are alive, without those that are given."""

    def __init__(self, given):
        super().__init__()
        self.alive, self.now, self.peak = {x.untyped_storage()._cdata: 0 for x in given}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.alive:
                storage = tensor.untyped_storage()
                self.alive[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._gone, storage._cdata)
        return out

    def _gone(self, key):
        self.now -= self.alive.pop(key)


def peak(*, references=0, front=0, text=0, text_first=False, opened=None, masked=False, heads_first=True):
    """Peak of a call, as a multiple of one of q, k and v."""
    layout = calls.VideoLayout(core.TokenGrid(FRAMES, references, 36, 48), front, text_first)
    mask = torch.zeros(1, 1, layout.grid.length + text, device="meta") if masked else None
    call = patched.PatchedCall(CONFIG, layout, 1, None, opened)
    call.mask, call.text, call.expects = mask, text, True
    length = layout.grid.length + text
    shape = (1, HEADS, length, DIM) if heads_first else (1, length, HEADS * DIM)
    qkv = [torch.empty(shape, device="meta") for _ in range(3)]

    def backend(q, *_, **__):
        return torch.empty(q.shape, device="meta")

    with torch.no_grad(), Gauge([*qkv, *([mask] if masked else [])]) as gauge:
        call.override(backend, *qkv, HEADS, mask=mask, skip_reshape=heads_first)
    assert [note.kind for note in call.finish()] == ["sparse"]
    return gauge.peak / (qkv[0].numel() * qkv[0].element_size())


found = {"wan": peak(heads_first=False), "wan behind": peak(heads_first=False, references=1)}
found["wan front"] = peak(heads_first=False, references=1, front=1)
some = {"ones": None, "holes": torch.empty(9, dtype=torch.long, device="meta")}
for text_first in (False, True):
    order = "text first" if text_first else "image first"
    found[f"{order}, no mask"] = peak(text=TEXT, text_first=text_first)
    found[f"{order}, reference"] = peak(text=TEXT, text_first=text_first, references=1, front=1)
    for name, tokens in some.items():
        opened = masks.OpenText([tokens], TEXT)
        found[f"{order}, {name}"] = peak(text=TEXT, text_first=text_first, opened=opened, masked=True)
answer(found)
