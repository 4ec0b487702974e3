"""For scripts that a host's own interpreter runs in its checkout: ComfyUI on the CPU, and the pack without a server.

Scripts print their findings as one line of JSON, the last one.
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACK = "gvr_pack"

ARGUMENTS, sys.argv = sys.argv[1:], [sys.argv[0], "--cpu"]
sys.path.insert(0, ".")

import comfy.options  # noqa: E402  the path comes first

comfy.options.enable_args_parsing()


def host_module(name):
    """A module of the host, such as `comfy.model_management`."""
    return importlib.import_module(name)


def pack_module(name):
    """A module of the pack, such as `nodes.guidance`."""
    if PACK not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        sys.modules[PACK] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return importlib.import_module(f"{PACK}.{name}")


def answer(findings):
    """Ends a script with what it has found."""
    sys.stdout.write("\n" + json.dumps(findings) + "\n")
