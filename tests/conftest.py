"""Lets the tests import `gvr_core` and `train`, and keeps property tests free of deadlines."""

import sys
from pathlib import Path

from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
# Last, so that with ComfyUI on the path `import nodes` still finds ComfyUI's module.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT] + [str(ROOT)]

# First calls into torch are slow, which is no property of what is tested.
settings.register_profile("gvr", deadline=None)
settings.load_profile("gvr")
