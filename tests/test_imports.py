"""Holds the arrows `nodes -> gvr_core <- train`: who may import whom, read from the source without importing it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gvr_core", "train", "nodes")
HOST = {"comfy", "comfy_extras", "comfy_execution", "folder_paths", "latent_preview", "nodes", "server", "execution"}
MODULE_OF = {"opencv-python": "cv2", "pyyaml": "yaml"}  # where a package's module has another name


def declared(*requirements: str) -> set[str]:
    """Top-level modules of the packages in requirement files."""
    lines = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in requirements).splitlines()
    names = [re.match(r"[\w.-]*", line)[0].lower() for line in lines]
    return {MODULE_OF.get(name, name) for name in names if name}


RUNTIME = declared("requirements.txt")
TRAINING = RUNTIME | declared("train/requirements.txt")


class Imports(ast.NodeVisitor):
    """Collects what a file must not do, as `line: what`."""

    def __init__(self, path: PurePosixPath):
        self.path, self.package = path, path.parts[0]
        self.in_host_file = path == PurePosixPath("nodes/host.py")
        self.inside_function = 0
        self.found: list[str] = []

    def report(self, node: ast.AST, what: str) -> None:
        self.found.append(f"{self.path}:{node.lineno}: {what}")

    def absolute(self, node: ast.AST, module: str) -> None:
        top = module.split(".")[0]
        known = sys.stdlib_module_names | {"gvr_core": RUNTIME, "train": TRAINING | {"gvr_core"}}.get(
            self.package, RUNTIME | {"comfy_api"} | (HOST if self.in_host_file else set())
        )
        if top in known:
            return
        if top in HOST | {"comfy_api", "accelerate", *PACKAGES}:
            self.report(node, f"{self.package} must not import {module}")
        elif not self.inside_function:
            self.report(node, f"{module} is neither declared nor imported inside the function that needs it")

    def relative(self, node: ast.ImportFrom) -> None:
        outside = node.level - len(self.path.parts[:-1])  # 0: the package's own top, 1: the folder above it
        if outside <= 0:
            return
        targets = [node.module] if node.module else [alias.name for alias in node.names]
        if self.package != "nodes" or outside > 1 or any(target.split(".")[0] != "gvr_core" for target in targets):
            self.report(node, f"{self.package} leaves its package with {'.' * node.level}{', '.join(targets)}")

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.absolute(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            self.relative(node)
        else:
            self.absolute(node, node.module)
        if node.module == "sys" and any(alias.name == "path" for alias in node.names):
            self.report(node, "sys.path is not ours to change")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr == "path" and isinstance(node.value, ast.Name) and node.value.id == "sys":
            self.report(node, "sys.path is not ours to change")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        speaks = self.path.name in ("__main__.py", "cli.py") or "cli" in self.path.parts[:-1]
        if self.package == "gvr_core" and not speaks and isinstance(node.func, ast.Name) and node.func.id == "print":
            self.report(node, "print in a library: use logging.getLogger('gvr')")
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.inside_function += 1
        self.generic_visit(node)
        self.inside_function -= 1

    visit_AsyncFunctionDef = visit_FunctionDef


def violations(source: str, path: str) -> list[str]:
    """What a file of one of our packages must not do; `path` is relative to the root, with slashes."""
    visitor = Imports(PurePosixPath(path))
    visitor.visit(ast.parse(source))
    return visitor.found


@pytest.mark.parametrize("package", PACKAGES)
def test_the_arrows_hold(package):
    files = sorted((ROOT / package).rglob("*.py"))
    if not files:
        pytest.skip(f"there is no {package}/ yet")
    found = [
        violation
        for file in files
        for violation in violations(file.read_text(encoding="utf-8"), file.relative_to(ROOT).as_posix())
    ]
    assert found == []


def test_run_py_needs_the_standard_library_only():
    tree = ast.parse((ROOT / "run.py").read_text(encoding="utf-8"))
    modules = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {module.split(".")[0] for module in modules} <= sys.stdlib_module_names


def test_pytest_imports_no_root_package_for_a_test():
    # ComfyUI loads the stub pack as a package; pytest has nothing to do with it.
    packages = [path for path in (ROOT / "tests").rglob("__init__.py") if path.parent.name != "stub_pack"]
    assert packages == []
    assert not (ROOT / "conftest.py").exists()


@pytest.mark.parametrize(
    ("path", "source", "what"),
    [
        ("gvr_core/flow.py", "import comfy.utils", "must not import comfy.utils"),
        ("gvr_core/flow.py", "def f():\n    import accelerate", "must not import accelerate"),
        ("gvr_core/flow.py", "from gvr_core.geometry import round_up", "must not import gvr_core.geometry"),
        ("gvr_core/flow.py", "from train.config import TrainConfig", "must not import train.config"),
        ("gvr_core/flow.py", "import folder_paths", "must not import folder_paths"),
        ("gvr_core/flow.py", "import scipy", "scipy is neither declared"),
        ("gvr_core/flow.py", "if True:\n    import scipy", "scipy is neither declared"),
        ("gvr_core/flow.py", "from ..nodes import host", "leaves its package"),
        ("gvr_core/models/dit.py", "from ...train import loop", "leaves its package"),
        ("gvr_core/flow.py", "print(1)", "print in a library"),
        ("gvr_core/flow.py", "import sys\nsys.path.append('x')", "sys.path"),
        ("train/loop.py", "from sys import path", "sys.path"),
        ("train/loop.py", "import nodes", "must not import nodes"),
        ("train/loop.py", "from ..gvr_core import flow", "leaves its package"),
        ("train/loop.py", "import pyiqa", "pyiqa is neither declared"),
        ("train/loop.py", "from comfy_api.latest import io", "must not import comfy_api.latest"),
        ("nodes/cascade.py", "import comfy.utils", "must not import comfy.utils"),
        ("nodes/cascade.py", "import nodes", "must not import nodes"),
        ("nodes/cascade.py", "from gvr_core import flow", "must not import gvr_core"),
        ("nodes/cascade.py", "from ..train import loop", "leaves its package"),
        ("nodes/cascade.py", "from .. import train", "leaves its package"),
        ("nodes/cascade.py", "from ...ComfyUI_Other import x", "leaves its package"),
        ("nodes/host.py", "import train", "must not import train"),
    ],
)
def test_a_violation_is_found(path, source, what):
    assert any(what in violation for violation in violations(source, path))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("gvr_core/flow.py", "import math\nimport cv2\nfrom torch import Tensor\nfrom .geometry import round_up"),
        ("gvr_core/models/dit.py", "from ..attention.grid import TokenGrid\nfrom .. import flow\nfrom . import rope"),
        ("gvr_core/flow.py", "def f():\n    import triton"),
        ("gvr_core/__main__.py", "print(1)"),
        ("gvr_core/cli/demo.py", "print(1)"),
        ("train/loop.py", "import yaml\nimport accelerate\nfrom gvr_core.flow import velocity\nprint(1)"),
        ("train/data/clips.py", "from ..config import TrainConfig"),
        ("nodes/cascade.py", "from comfy_api.latest import io\nfrom ..gvr_core.flow import velocity"),
        ("nodes/cascade.py", "from .. import gvr_core\nfrom .host import device"),
        ("nodes/host.py", "import comfy.utils\nimport folder_paths\nimport nodes"),
    ],
)
def test_what_is_allowed_passes(path, source):
    assert violations(source, path) == []
