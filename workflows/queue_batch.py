"""Queues a workflow for many inputs and seeds on one or several ComfyUI servers: `python queue_batch.py --help`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PACKAGE = "gvr_queue_batch"


def load_package() -> None:
    """Makes the folder `batch` beside this file importable as `gvr_queue_batch`, from wherever we were started.

    By its path, because an embedded Python (ComfyUI's portable build for Windows) does not look beside the script.
    """
    folder = Path(__file__).resolve().parent / "batch"
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[PACKAGE])


if __name__ == "__main__":
    load_package()
    sys.exit(importlib.import_module(f"{PACKAGE}.cli").main())
