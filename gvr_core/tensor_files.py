"""Writing safetensors files whole or not at all, readable by whom the folder's other files are."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file under a hidden name and rename it when it is complete.

    Raises:
        OSError, SafetensorError: it could not be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(dict(tensors), temporary, metadata=dict(metadata))
        temporary.chmod(mode)  # safetensors leaves files that only their owner can read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
