"""What the ComfyUI registry and its security scan want: metadata that is true, and a pack that stays at home."""

import ast
import re
import sys
from pathlib import Path

import cv2
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REPOSITORY = "https://github.com/comfyui-gvr/ComfyUI-GVR"
# What fetches, installs or runs other programs. Inside ComfyUI nothing of ours does.
FORBIDDEN_MODULES = {
    "ensurepip", "ftplib", "http", "httpx", "huggingface_hub", "modelscope", "pip", "requests", "smtplib", "socket",
    "subprocess", "telnetlib", "urllib", "urllib3", "websocket", "websockets",
}  # fmt: skip
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "load_state_dict_from_url", "urlopen"}
# `web.json_response` of the server ComfyUI runs; a client of our own would be something else.
SERVER = {"nodes/host.py": {"aiohttp"}}
PYTHON = [ROOT / "__init__.py", *sorted((ROOT / "nodes").rglob("*.py")), *sorted((ROOT / "gvr_core").rglob("*.py"))]
SCRIPTS = sorted(path for path in (ROOT / "web").rglob("*") if path.suffix in (".js", ".mjs"))
SCRIPT_FORBIDDEN = re.compile(
    r"\beval\s*\(|new Function\b|XMLHttpRequest|sendBeacon|new WebSocket|document\.write|importScripts"
)
NAMESPACES = ("http://www.w3.org/",)


def relative(path):
    return path.relative_to(ROOT).as_posix()


def test_dependencies_are_requirements_txt():
    """ComfyUI-Manager installs the file, the registry reads the project: both must be one list."""
    assert "dependencies" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.txt"]}


def test_project():
    project = PROJECT["project"]

    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert re.fullmatch(r"[a-z][a-z0-9-]{,99}", project["name"])
    assert project["urls"]["Repository"] == REPOSITORY
    assert "Operating System :: OS Independent" in project["classifiers"]


def test_comfy():
    comfy = PROJECT["tool"]["comfy"]

    assert comfy["PublisherId"]
    assert comfy["DisplayName"]
    # An upper bound would take the pack away from people who bring their ComfyUI up to date.
    assert comfy["requires-comfyui"] == ">=0.3.64"
    # WEB_DIRECTORY serves the folder already; both together would run our JavaScript twice.
    assert "web" not in comfy


def test_icon_is_in_the_repository():
    url = PROJECT["tool"]["comfy"]["Icon"]
    prefix = REPOSITORY.replace("github.com", "raw.githubusercontent.com") + "/main/"
    assert url.startswith(prefix)

    path = ROOT / url.removeprefix(prefix)

    height, width = cv2.imread(str(path)).shape[:2]
    assert width == height <= 400
    assert path.stat().st_size < 20_000


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_nothing_is_fetched_installed_or_evaluated(path):
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module]
        allowed = SERVER.get(relative(path), set())
        found += [name for name in modules if name.split(".")[0] in (FORBIDDEN_MODULES | {"aiohttp"}) - allowed]
        if isinstance(node, ast.Call):
            # `model.eval()` is PyTorch's; `eval(text)` is not.
            name = getattr(node.func, "id", None)
            attribute = getattr(node.func, "attr", None)
            found += [name] if name in FORBIDDEN_CALLS else []
            found += [attribute] if attribute in FORBIDDEN_CALLS - {"eval", "compile"} else []

    assert found == []


@pytest.mark.parametrize("path", SCRIPTS, ids=relative)
def test_scripts_stay_at_home(path):
    text = path.read_text(encoding="utf-8")

    assert SCRIPT_FORBIDDEN.findall(text) == []
    urls = re.findall(r"(?:https?:)?//[a-zA-Z][\w.-]*\.[a-z]{2,}[^\s\"'`)]*", re.sub(r"(?m)^\s*(//|\*).*$", "", text))
    assert [url for url in urls if not url.startswith(NAMESPACES)] == []
    imports = re.findall(r"""(?:\bfrom|\bimport\s*\(?)\s*["']([^"']+)["']""", text)
    assert [target for target in imports if not target.startswith((".", "/scripts/"))] == []
