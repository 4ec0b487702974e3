"""A batch that goes on where an earlier one was."""

import json

import pytest

from workflows.batch.manifest import Manifest


def test_what_is_done_is_not_done_again(batch, server, clips):
    assert batch("--inputs", clips, "--seeds", "1", servers=[server]) == 0
    server.stop()
    assert batch("--inputs", clips, "--seeds", "1", servers=[server]) == 0  # needs no server
    assert "3 done (3 before)" in batch.text
    server.start()
    assert batch("--inputs", clips, "--seeds", "1,2", servers=[server]) == 0
    assert len(server.prompts) == 6


def test_another_setting_or_another_content_is_another_job(batch, server, clips):
    assert batch("--inputs", clips / "a.mp4", servers=[server]) == 0
    assert batch("--inputs", clips / "a.mp4", "--set", "2.steps=5", servers=[server]) == 0
    (clips / "a.mp4").write_bytes(b"changed")
    assert batch("--inputs", clips / "a.mp4", servers=[server]) == 0
    assert len(server.prompts) == 3
    assert len(batch.files) == len(batch.jobs) == 3
    assert "a.mp4" in batch.files


def test_a_renamed_input_is_the_same_job(batch, server, clips):
    assert batch("--inputs", clips / "a.mp4", servers=[server]) == 0
    (clips / "a.mp4").rename(clips / "z.mp4")
    assert batch("--inputs", clips / "z.mp4", servers=[server]) == 0
    assert len(server.prompts) == 1


def test_a_lost_file_is_fetched_again_and_made_again_only_if_it_must(batch, server, clips):
    assert batch("--inputs", clips, servers=[server]) == 0
    (batch.output / "b.mp4").unlink()
    assert batch("--inputs", clips, servers=[server]) == 0
    assert batch.files == ["a.mp4", "b.mp4", "c.mp4"]
    assert len(server.prompts) == 3
    (batch.output / "b.mp4").unlink()
    server.restart()
    assert batch("--inputs", clips, servers=[server]) == 0
    assert batch.files == ["a.mp4", "b.mp4", "c.mp4"]
    assert len(server.prompts) == 4


def test_failures_are_done_again_on_request_only(batch, server, clips):
    server.models = set()
    assert batch("--inputs", clips, servers=[server]) == 1
    server.models = {"model"}
    assert batch("--inputs", clips, servers=[server]) == 1
    assert "--retry-failed" in batch.text
    assert "failed earlier, node 2 'My Sampler' (Sampler): Value not in list" in batch.text
    assert server.prompts == []
    assert batch("--inputs", clips, "--retry-failed", servers=[server]) == 0
    assert batch.files == ["a.mp4", "b.mp4", "c.mp4"]
    assert batch.jobs["a"]["error"] is None


@pytest.mark.parametrize("state", ["queued", "running"])
def test_jobs_that_are_still_on_the_server_are_picked_up(batch, server, clips, state):
    """As after a stop: the manifest says queued or running, the server goes on or has ended."""
    assert batch("--inputs", clips, servers=[server]) == 0
    path = batch.output / "manifest.json"
    content = json.loads(path.read_text())
    for record in content["jobs"].values():
        record["state"], record["outputs"] = state, []
    path.write_text(json.dumps(content))
    for name in batch.files:
        (batch.output / name).unlink()
    assert batch("--inputs", clips, servers=[server]) == 0
    assert batch.files == ["a.mp4", "b.mp4", "c.mp4"]
    assert len(server.prompts) == 3


def test_jobs_on_a_server_that_is_no_longer_named_go_to_another(batch, server, make_server, clips):
    assert batch("--inputs", clips, servers=[server]) == 0
    for name in batch.files:
        (batch.output / name).unlink()
    other = make_server()
    assert batch("--inputs", clips, servers=[other]) == 0
    assert len(other.prompts) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is broken"), ("[]", "is not one of ours"), ('{"version": 99}', "is not one of ours")],
)
def test_a_manifest_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        Manifest(tmp_path)


def test_two_batches_do_not_share_a_folder(tmp_path):
    first = Manifest(tmp_path)
    with pytest.raises(ValueError, match="another batch works in"):
        Manifest(tmp_path)
    first.close()
    Manifest(tmp_path).close()


def test_a_stop_while_writing_leaves_the_old_manifest(tmp_path, monkeypatch):
    manifest = Manifest(tmp_path)
    manifest.save()
    before = manifest.path.read_text()
    manifest.records["key"] = object()  # cannot be written
    with pytest.raises(TypeError):
        manifest.save()
    assert manifest.path.read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "manifest.lock"]
