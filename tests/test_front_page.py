"""README, CONTRIBUTING and CHANGELOG: what they point to is there, and the front page knows every node and workflow."""

import re
from pathlib import Path

import pytest

from .node_schemas import node_schemas

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINES = 300
PICTURES_LIMIT = 1_000_000


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}

    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("https://"):
            assert (ROOT / target).exists(), target


def test_front_page_names_every_node_and_workflow():
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert [schema.display_name for schema in node_schemas().values() if schema.display_name not in text] == []
    assert [path.stem for path in (ROOT / "workflows").glob("*.json") if f"`{path.stem}`" not in text] == []
    assert [path.stem for path in (ROOT / "subgraphs").glob("*.json") if f"*{path.stem}*" not in text] == []
    assert len(text.splitlines()) < LINES


def test_pictures_are_small_and_used():
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("train/**/*.md"),
        *ROOT.glob("gvr_core/**/*.md"),
    ]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    files = sorted((ROOT / "docs" / "pictures").iterdir())

    assert [path.name for path in files if f"pictures/{path.name}" not in text] == []
    assert sum(path.stat().st_size for path in files) < PICTURES_LIMIT
