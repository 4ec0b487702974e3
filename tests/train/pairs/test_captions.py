import json
import sys
from types import SimpleNamespace

import pytest

from train.pairs import captions
from train.pairs.captions import clean, cleaning, read_caption


@pytest.fixture(autouse=True)
def no_ftfy(monkeypatch):
    find_ftfy(monkeypatch, None)
    yield
    captions._ftfy.cache_clear()


def find_ftfy(monkeypatch, found):
    captions._ftfy.cache_clear()
    monkeypatch.setattr(captions.importlib.util, "find_spec", lambda name: found)


def test_captions_are_cleaned_as_wan_cleans_prompts(tmp_path):
    """Truth: the same text, written by hand as Wan's tokenizer would be given it."""
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf a  dog &amp;amp; a\ncat &lt;3\r\n")
    assert read_caption(tmp_path / "a.txt") == "a dog & a cat <3"
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"text": "caf\u00e9 &quot;x&quot;"}).encode())
    assert read_caption(tmp_path / "a.json") == 'caf\u00e9 "x"'
    (tmp_path / "b.json").write_text('{"width": 64}')
    assert read_caption(tmp_path / "b.json") == ""
    assert clean(" plain text, \u4e00\u53ea\u72d7 ") == "plain text, \u4e00\u53ea\u72d7"


def test_what_is_no_caption_is_told(tmp_path):
    (tmp_path / "a.json").write_text('["a"]')
    with pytest.raises(ValueError, match=r'a\.json has no text under "caption"'):
        read_caption(tmp_path / "a.json")


def test_ftfy_is_used_where_it_is_and_is_part_of_the_plan(monkeypatch):
    assert cleaning() == "html"
    find_ftfy(monkeypatch, object())
    monkeypatch.setattr(captions.importlib.metadata, "version", lambda name: "6.3")
    mended = SimpleNamespace(fix_text=lambda text: text.replace("\u00c3\u00a9", "\u00e9"))
    monkeypatch.setitem(sys.modules, "ftfy", mended)
    assert cleaning() == "ftfy 6.3"
    assert clean("caf\u00c3\u00a9") == "caf\u00e9"


def test_an_ftfy_that_does_not_import_is_told_and_done_without(monkeypatch, caplog):
    find_ftfy(monkeypatch, object())
    monkeypatch.setitem(sys.modules, "ftfy", None)  # its import fails
    assert (cleaning(), clean(" a &amp; b")) == ("html", "a & b")
    assert "ftfy is installed but does not import" in caplog.text
