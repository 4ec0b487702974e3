"""Lets the tests import `gvr_core` and `train`, keeps property tests free of deadlines, and has a tiny cascade."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
# Last, so that with ComfyUI on the path `import nodes` still finds ComfyUI's module.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT] + [str(ROOT)]

# First calls into torch are slow, which is no property of what is tested.
settings.register_profile("gvr", deadline=None)
settings.load_profile("gvr")


# The tiny cascade is imported where it is used: only now is the root on the path.
@pytest.fixture(scope="session")
def tiny_dit_config():
    """Function: the config of the tiny DiT with changes."""
    from .tiny_cascade import tiny_dit_config

    return tiny_dit_config


@pytest.fixture(scope="session")
def save_tiny():
    """Function: a tiny checkpoint at a path, with chosen parts or another DiT config."""
    from .tiny_cascade import save_tiny

    return save_tiny


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory, save_tiny):
    """Path of a cascade with all parts."""
    return save_tiny(tmp_path_factory.mktemp("tiny") / "tiny.safetensors")
