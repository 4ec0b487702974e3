"""Whole batches on one healthy server: what is queued, what comes home, and the exit code."""

import json

import pytest


def test_a_job_for_every_file_and_seed(batch, server, clips):
    assert batch("--inputs", clips, "--seeds", "1,22", servers=[server]) == 0
    assert batch.files == [f"{name}_seed{seed}.mp4" for name in "abc" for seed in (1, 22)]
    assert batch.seed_in("b_seed22.mp4") == 22
    assert {job["state"] for job in batch.jobs.values()} == {"done"}
    assert server.upload_count == 3  # not six
    made_from = json.loads((batch.output / "b_seed1.mp4").read_bytes())["1"]["inputs"]["file"]
    assert server.uploads[made_from] == b"b"


def test_without_inputs_and_seeds_the_workflow_runs_as_it_is(batch, server):
    server.uploads["clip.mp4"] = b""
    assert batch("--set", "LoadVideo.file=clip.mp4", servers=[server]) == 0
    assert batch.files == ["upscale.mp4"]


def test_settings_arrive(batch, server, clips):
    assert batch("--inputs", clips / "a.mp4", "--set", "My Sampler.steps=3", servers=[server]) == 0
    assert server.prompts[0]["2"]["inputs"]["steps"] == 3


def test_same_names_and_same_contents(batch, server, tmp_path, clips):
    other = tmp_path / "other"
    other.mkdir()
    (other / "A.mp4").write_bytes(b"another clip")
    (other / "copy.mp4").write_bytes(b"b")
    assert batch("--inputs", clips, other, servers=[server]) == 0
    assert f"{other / 'copy.mp4'} is the same as {clips / 'b.mp4'}" in batch.text
    assert len(server.prompts) == 4
    names = {record["file"]: record["outputs"] for record in batch.jobs.values()}
    assert names[str(clips / "a.mp4")] == ["a.mp4"]
    (changed,) = names[str(other / "A.mp4")]
    assert changed.startswith("A-")
    made_from = json.loads((batch.output / changed).read_bytes())["1"]["inputs"]["file"]
    assert server.uploads[made_from] == b"another clip"


def test_several_files_of_a_job_are_numbered_and_collide_with_no_other_job(batch, server, tmp_path, workflow):
    nodes = json.loads(workflow.read_text())
    nodes["3"]["inputs"]["endings"] = ["png", "png", "mp4"]
    workflow.write_text(json.dumps(nodes))
    for name in ("a", "a_1"):
        (tmp_path / f"{name}.mp4").write_bytes(name.encode())
    assert batch("--inputs", tmp_path / "a.mp4", tmp_path / "a_1.mp4", "--depth", 1, servers=[server]) == 0
    assert batch.jobs["a"]["outputs"] == ["a_1.png", "a_2.png", "a.mp4"]
    assert len(batch.files) == 6
    assert not set(batch.jobs["a"]["outputs"]) & set(batch.jobs["a_1"]["outputs"])


def test_names_as_long_as_they_may_be(batch, server, tmp_path):
    clip = tmp_path / f"{'語' * 83}.mp4"  # 253 bytes
    clip.write_bytes(b"clip")
    assert batch("--inputs", clip, "--seeds", "1", servers=[server]) == 0
    assert batch.files == [f"{'語' * 60}_seed1.mp4"]


def test_a_file_of_somebody_else_is_not_overwritten(batch, server, clips):
    batch.output.mkdir()
    (batch.output / "a.mp4").write_bytes(b"holiday")
    assert batch("--inputs", clips / "a.mp4", servers=[server]) == 0
    assert (batch.output / "a.mp4").read_bytes() == b"holiday"
    assert len(batch.files) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "My Sampelr.steps=3"], "no node 'My Sampelr' in the workflow; did you mean 'My Sampler'?"),
        (["--set", "2.stepps=3"], "node '2' has no input 'stepps'; did you mean 'steps'?"),
        (["--set", "2.steps"], "expected NODE.input=value"),
        (["--inputs", "nothing*.mp4"], "'nothing*.mp4' gives no file"),
        (["--seeds", "1,x"], "expected whole numbers"),
        (["--seeds", "1", "--seed-node", "3"], "has no free seed"),
        (["--seed-node", "2"], "give --seeds"),
        (["--input-node", "1.file"], "give --inputs"),
        (["--depth", "0"], "no number above 0"),
        (["--server", "ftp://host"], "expected http://HOST:PORT"),
    ],
)
def test_what_is_wrong_on_the_command_line_ends_with_2(batch, capsys, arguments, message):
    with pytest.raises(SystemExit) as end:
        batch(*arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_workflow_in_ui_format_ends_with_2(batch, capsys):
    batch.workflow.write_text('{"nodes": [], "links": []}')
    with pytest.raises(SystemExit) as end:
        batch()
    assert end.value.code == 2
    assert "save it with Workflow > Export (API)" in capsys.readouterr().err


def test_results_must_not_fall_among_the_inputs(batch, capsys, clips):
    batch.output = clips
    with pytest.raises(SystemExit):
        batch("--inputs", clips)
    assert "results there would be inputs" in capsys.readouterr().err


def test_without_websocket_client_the_way_to_install_it_is_told(batch, capsys, monkeypatch):
    from workflows.batch import feed

    monkeypatch.setattr(feed, "websocket", None)
    with pytest.raises(SystemExit) as end:
        batch()
    assert end.value.code == 2
    assert "pip install websocket-client tqdm" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_written_ends_the_batch(batch, server, clips, monkeypatch):
    def full(path, blocks):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workflows.batch.worker.write_whole", full)
    assert batch("--inputs", clips, servers=[server]) == 1
    assert "No space left on device" in batch.text


def test_a_fault_of_ours_does_not_hang(batch, server, clips, monkeypatch):
    monkeypatch.setattr("workflows.batch.worker.remote_files", lambda outputs: 1 // 0)
    monkeypatch.setattr("threading.excepthook", lambda arguments: None)
    assert batch("--inputs", clips, servers=[server]) == 1
    assert "a fault ended the batch: the same command goes on" in batch.text


def test_quiet_tells_failures_only(batch, server, clips):
    assert batch("--inputs", clips, "--quiet", servers=[server]) == 0
    assert batch.text == ""
    assert batch("--inputs", clips, "--quiet", "--set", "2.model=other", servers=[server]) == 1
    assert batch.text.count("FAILED") == 3
