"""Which files come home, and under which names."""

import pytest

from workflows.batch.results import RemoteFile, local_names, remote_files, write_whole


def entry(name, kind="output", subfolder=""):
    return {"filename": name, "subfolder": subfolder, "type": kind}


def test_files_are_found_under_any_name_and_once():
    outputs = {
        "1": {"images": [entry("a.png"), entry("b.png")], "animated": [True], "text": ["a.txt"]},
        "2": {"gifs": [entry("c.mp4", subfolder="video")], "latents": [entry("a.png")], "none": None},
        "3": None,
    }
    files = [
        RemoteFile("a.png", "", "output"),
        RemoteFile("b.png", "", "output"),
        RemoteFile("c.mp4", "video", "output"),
    ]
    assert remote_files(outputs) == files


def test_previews_come_only_where_nothing_was_saved():
    preview = entry("p.png", "temp")
    assert remote_files({"1": {"images": [preview, entry("a.png"), entry("i.png", "input")]}}) == [
        RemoteFile("a.png", "", "output")
    ]
    assert remote_files({"1": {"images": [preview]}}) == [RemoteFile("p.png", "", "temp")]
    assert remote_files({}) == []


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("clip_00001_.MP4", "base.mp4"),
        ("../../etc/passwd", "base"),
        ("..\\..\\evil.exe:stream", "base"),
        ("x.../../../y.png/..", "base"),
        ("x.tar.gz", "base.gz"),
        ("none", "base"),
    ],
)
def test_of_the_servers_name_only_a_plain_ending_is_used(name, ours):
    assert local_names("base", "0123456789", [RemoteFile(name, "../..", "output")], set()) == [ours]


def test_names_that_are_taken_are_avoided_together():
    files = [RemoteFile(name, "", "output") for name in ("x.png", "y.png", "z.mp4")]
    assert local_names("Base", "0123456789", files, set()) == ["Base_1.png", "Base_2.png", "Base.mp4"]
    avoided = ["Base-01234567_1.png", "Base-01234567_2.png", "Base-01234567.mp4"]
    assert local_names("Base", "0123456789", files, {"base_2.png"}) == avoided


def test_a_file_that_breaks_off_does_not_appear(tmp_path):
    def blocks():
        yield b"half"
        raise RuntimeError("broke off")

    with pytest.raises(RuntimeError):
        write_whole(tmp_path / "clip.mp4", blocks())
    assert list(tmp_path.iterdir()) == []
