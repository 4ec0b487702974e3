"""Names and tooltips that the front end shows: the English ones are the schemas', the Chinese ones cover them all."""

import json
import re
from pathlib import Path

import pytest

from .node_schemas import node_schemas

LOCALES = Path(__file__).resolve().parents[1] / "locales"
LANGUAGES = ("en", "zh")
FILES = ("main.json", "nodeDefs.json", "commands.json", "settings.json")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Names that are the same in Chinese.
SAME = {"VAE", "PNDM", "Sigmas"}


def read(language, file="nodeDefs.json"):
    return json.loads((LOCALES / language / file).read_text(encoding="utf-8"))


def texts(value, path=()):
    """Every text with its keys."""
    if isinstance(value, str):
        yield path, value
        return
    for key, part in value.items():
        yield from texts(part, (*path, key))


@pytest.fixture
def english():
    return read("en")


@pytest.fixture
def chinese():
    return read("zh")


def test_languages_and_files():
    assert sorted(path.name for path in LOCALES.iterdir()) == sorted(LANGUAGES)
    present = {language: sorted(path.name for path in (LOCALES / language).iterdir()) for language in LANGUAGES}
    assert present["en"] == present["zh"]
    assert set(present["en"]) <= set(FILES)


def test_english_is_what_the_schemas_say(english):
    wanted = {}
    for node, schema in node_schemas().items():
        inputs = {slot.name: {"name": slot.name, "tooltip": slot.tooltip} for slot in schema.inputs}
        outputs = {
            str(index): {"name": slot.name, "tooltip": slot.tooltip} for index, slot in enumerate(schema.outputs)
        }
        wanted[node] = {
            "display_name": schema.display_name,
            "description": schema.description,
            "inputs": inputs,
            "outputs": outputs,
        }

    assert english == wanted


def test_every_text_is_translated():
    for file in sorted(path.name for path in (LOCALES / "en").iterdir()):
        english, chinese = dict(texts(read("en", file))), dict(texts(read("zh", file)))

        assert list(english) == list(chinese)
        for path, text in chinese.items():
            assert CHINESE.search(text) or text in SAME, path
            assert text == text.strip()


def test_numbers_are_the_same_in_both(english, chinese):
    """A range that was changed in one language only is found; Chinese may say more (1,560 and 1560 are one number)."""
    chinese_texts = dict(texts(chinese))
    for path, text in texts(english):
        if path[-1] != "tooltip":
            continue
        found = {part.replace(",", "") for part in re.findall(r"\d+(?:[.,^]\d+)*", text)}
        translated = {part.replace(",", "") for part in re.findall(r"\d+(?:[.,^]\d+)*", chinese_texts[path])}
        assert found <= translated, (path, found - translated)


def test_chinese_punctuation(chinese):
    wrong = [(path, text) for path, text in texts(chinese) if re.search(r"[\u4e00-\u9fff]\s*[,.:;?!](?:\s|$)", text)]

    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_mean_themselves(language):
    """Braces, pipes and at-signs are the syntax of the front end's translations."""
    for file in (LOCALES / language).iterdir():
        assert [text for _, text in texts(read(language, file.name)) if set(text) & set("{}|@")] == []


@pytest.mark.parametrize("node", sorted(node_schemas()))
def test_tooltips_of_numbers_tell_the_range(node):
    silent = [
        slot.name
        for slot in node_schemas()[node].inputs
        if slot.kind in ("INT", "FLOAT") and not tells_range(slot.tooltip, slot.options["min"], slot.options["max"])
    ]

    assert silent == []


def test_a_range_has_two_ends():
    assert tells_range("Pixels, 16 to 4096.", 16, 4096)
    assert tells_range("Seed, 0 to 2^64-1.", 0, 2**64 - 1)
    assert tells_range("The first n, 0 up to the number of steps.", 0, 10000)
    assert tells_range("-1 for the checkpoint's own, else 0 to 0.95.", -1.0, 0.95)
    for text in ("Overlap in pixels.", "0.4 to 4096 pixels.", "Pixels, 4 up.", "4 to 40960.", "14 to 4096."):
        assert not tells_range(text, 4, 4096), text


def tells_range(text, least, most):
    """Whether both ends stand in a text as numbers; the upper one may be the number of steps."""
    found = set(re.findall(r"2\^\d+-1|(?<![\w.^])-?\d+(?:\.\d+)?", text))
    # Seeds end at 2^32-1 or 2^64-1.
    low, high = (f"2^{end.bit_length()}-1" if end > 2**31 else str(end).removesuffix(".0") for end in (least, most))
    return low in found and (high in found or bool(re.search(r"number of steps|to `steps`", text)))
