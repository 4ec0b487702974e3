"""Writing safetensors files whole or not at all, readable by whom the folder's other files are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from .whole_files import written_whole


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all.

    Raises:
        OSError, SafetensorError: it could not be written; nothing is left behind.
    """
    with written_whole(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(dict(tensors), temporary, metadata=dict(metadata))
        temporary.chmod(mode)  # safetensors leaves files that only their owner can read
