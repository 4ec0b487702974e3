"""Which files a batch is made of."""

import os
from pathlib import Path

import pytest

from workflows.batch.inputs import content_hash, find_files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.MP4", "a.mov", "notes.txt", "picture.png", "._a.mov", "deep/c.mp4", "deep/er/d.mp4", "[1].mp4"):
        (tmp_path / name).write_text(name)
    return tmp_path


def names(files):
    return [file.name for file in files]


def test_of_a_folder_what_the_node_can_load(folder):
    assert names(find_files([str(folder)], "LoadVideo")) == ["[1].mp4", "a.mov", "b.MP4"]
    assert names(find_files([str(folder)], "LoadImage")) == ["picture.png"]
    assert len(find_files([str(folder)], "SomeNode")) == 5


def test_patterns_are_expanded_here(folder):
    assert names(find_files([f"{folder}/**/*.mp4"], "LoadVideo")) == ["[1].mp4", "c.mp4", "d.mp4"]


def test_a_file_is_taken_literally_and_once(folder, monkeypatch):
    monkeypatch.chdir(folder)
    files = find_files(["[1].mp4", "notes.txt", str(folder / "[1].mp4"), "./notes.txt"], "LoadVideo")
    assert files == [Path("[1].mp4"), Path("notes.txt")]


@pytest.mark.parametrize("pattern", ["*.webm", "none.mp4", "deep"])
def test_what_gives_nothing_is_told(folder, pattern):
    with pytest.raises(ValueError, match="gives no file"):
        find_files([str(folder / pattern)], "LoadImage")


def test_the_hash_is_of_the_content(folder):
    assert content_hash(folder / "a.mov") != content_hash(folder / "b.MP4")
    os.link(folder / "a.mov", folder / "same.mov")
    assert content_hash(folder / "a.mov") == content_hash(folder / "same.mov")


def test_a_file_that_cannot_be_read(folder):
    with pytest.raises(ValueError, match="cannot read"):
        content_hash(folder / "deep")
