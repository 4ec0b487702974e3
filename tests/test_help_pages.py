"""The help pages of the nodes, in English and Chinese: every node has them, and they say what the schemas say."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

from .node_schemas import node_schemas

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "web" / "docs"
NODES = sorted(path.stem for path in DOCS.glob("*.md"))
SECTIONS = {
    "en": ("Inputs", "Outputs", "When something goes wrong"),
    "zh": ("输入", "输出", "出问题时"),
}
# - **`name`** or **`first`** to **`last`**, a label in Chinese, what it is in brackets, a text.
ENTRY = re.compile(
    r"- \*\*`(?P<name>\w+)`\*\*(?:(?: to | 到 )\*\*`(?P<last>\w+)`\*\*)?\s*(?P<label>[^(（]*)"
    r"[(（](?P<what>.+?)[)）][:：]\s*(?P<text>.+)"
)
LIMIT = 3_000_000
PICTURE_LIMIT = 150_000


@pytest.fixture(params=[(node, language) for node in NODES for language in SECTIONS], ids="-".join)
def page(request):
    """Node id, language and text of a page."""
    node, language = request.param
    return node, language, page_path(node, language).read_text(encoding="utf-8")


def page_path(node, language):
    """Where the front end looks: `docs/ID.md`, and `docs/ID/LANGUAGE.md` before it."""
    return DOCS / f"{node}.md" if language == "en" else DOCS / node / f"{language}.md"


def section(text, title):
    """The lines below a heading."""
    (body,) = re.findall(rf"^## {title}\n\n(.*?)(?=\n## |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    return body.strip().splitlines()


def entries(text, title):
    """What a section lists: match -> names, ranges like image_1 to image_10 written out."""
    lines = section(text, title)
    if lines in (["None."], ["无。"]):
        return []
    found = []
    for line in lines:
        match = ENTRY.fullmatch(line)
        assert match, line
        found += [(name, match) for name in names(match)]
    return found


def names(match):
    if match["last"] is None:
        return [match["name"]]
    (stem, first), (_, last) = (re.fullmatch(r"(\w+_)(\d+)", match[key]).groups() for key in ("name", "last"))
    return [f"{stem}{number}" for number in range(int(first), int(last) + 1)]


def numbers(text):
    """The numbers of a text, 2^64-1 being one."""
    found = re.findall(r"2\^\d+-1|-?\d+(?:\.\d+)?", text)
    return [float(2 ** int(n[2:-2]) - 1) if "^" in n else float(n) for n in found]


def test_every_node_has_its_pages():
    assert sorted(node_schemas()) == NODES
    assert sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob("*/*.md")) == [f"{n}/zh.md" for n in NODES]


def test_inputs_are_those_of_the_schema(page):
    node, language, text = page

    assert [name for name, _ in entries(text, SECTIONS[language][0])] == [s.name for s in node_schemas()[node].inputs]


def test_outputs_are_those_of_the_schema(page):
    node, language, text = page

    listed = [(name, match["what"]) for name, match in entries(text, SECTIONS[language][1])]

    assert listed == [(slot.name, slot.kind) for slot in node_schemas()[node].outputs]


def test_kinds_ranges_and_defaults_are_those_of_the_schema(page):
    node, language, text = page
    slots = {slot.name: slot for slot in node_schemas()[node].inputs}

    for name, match in entries(text, SECTIONS[language][0]):
        slot, what = slots[name], match["what"]
        default = slot.options.get("default")
        if slot.kind in ("INT", "FLOAT"):
            wanted = [float(slot.options["min"]), float(slot.options["max"]), float(default)]
            assert numbers(what) == wanted, name
        elif slot.kind == "COMBO":
            assert f"`{default}`" in what, name
        elif slot.kind == "BOOLEAN":
            assert what.endswith(("on", "开") if default else ("off", "关")), name
        elif slot.kind == "STRING":
            assert f"`{default}`" in what or (not default and what.endswith(("empty", "空"))), name
        else:
            assert what.startswith(slot.kind), name
        assert ("optional" in what or "可选" in what) == bool(slot.options.get("optional")), name


def test_titles_are_those_of_the_node(page, node_texts):
    node, language, text = page

    assert text.startswith(f"# {node_texts[language][node]['display_name']}\n\n")
    if language == "zh":
        for name, match in entries(text, SECTIONS[language][0]):
            if match["last"] is None:
                assert match["label"].strip() == node_texts[language][node]["inputs"][name]["name"]


def test_picture_is_there(page):
    _, _, text = page
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", text)

    assert pictures
    for _, path in pictures:
        # Both pages are shown with docs/ as their base.
        assert (DOCS / path).is_file(), path


def test_something_is_said_about_what_goes_wrong(page):
    _, language, text = page

    lines = section(text, SECTIONS[language][2])

    assert all(re.match(r"- \*\*.+?\*\*[:：].{5,}", line) for line in lines)
    assert lines


def test_quoted_messages_are_ours(page):
    """A message that is reworded makes its help useless."""
    _, language, text = page
    quoted = [
        part.strip()
        for line in section(text, SECTIONS[language][2])
        for message in re.findall(r"\*\*[^*]*?[\"“]([^\"”]+)[\"”][^*]*\*\*", line)
        for part in message.split("…")
    ]

    assert [part for part in quoted if part and not any(part in given for given in literals())] == []


def test_no_page_asks_for_anything_from_outside(page):
    assert "http" not in page[2]
    assert "<" not in page[2]


def test_pictures_are_small_and_used():
    used = {
        found for path in DOCS.rglob("*.md") for found in re.findall(r"\(pictures/([^)]+)\)", path.read_text("utf-8"))
    }
    files = {path.name: path.stat().st_size for path in (DOCS / "pictures").iterdir()}

    assert sorted(files) == sorted(used)
    assert max(files.values()) < PICTURE_LIMIT
    assert sum(path.stat().st_size for path in (ROOT / "web").rglob("*") if path.is_file()) < LIMIT


@cache
def literals():
    """The texts in the code; those with values in them in pieces; scripts whole."""
    trees = [
        ast.parse(path.read_text(encoding="utf-8"))
        for folder in ("nodes", "gvr_core")
        for path in (ROOT / folder).rglob("*.py")
    ]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    scripts = [path.read_text(encoding="utf-8") for path in (ROOT / "web" / "js").rglob("*.*js")]
    return scripts + [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@pytest.fixture(scope="module")
def node_texts():
    """Language -> names and tooltips of the nodes."""
    return {
        language: json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
        for language in SECTIONS
    }
