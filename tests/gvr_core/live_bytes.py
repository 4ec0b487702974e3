"""Counts the bytes of the tensors that live at once, on any device; on `meta` at sizes no machine here could hold."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


class LiveBytes(TorchDispatchMode):
    """Counts while it is entered; `peak` is the most at one time of what was made inside.

    Args:
        inputs: tensors that are there already and do not count.
    """

    def __init__(self, *inputs: Tensor) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._inputs = [x.untyped_storage() for x in inputs]
        self._known = {storage._cdata for storage in self._inputs}

    def __torch_dispatch__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for x in pytree.tree_leaves(result):
            if isinstance(x, Tensor):
                self._add(x.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)

        def gone() -> None:
            self._known.discard(key)
            self.now -= size

        weakref.finalize(storage, gone)
