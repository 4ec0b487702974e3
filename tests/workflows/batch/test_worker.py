"""One server that fails, restarts, hangs, loses words or is used by others too."""

import json
import time


def test_a_failure_is_told_with_node_and_message_and_the_others_go_on(batch, server, clips, workflow):
    nodes = json.loads(workflow.read_text())
    broken = {"class_type": "Break", "inputs": {"message": "no such\n thing"}, "_meta": {"title": "Weak node"}}
    workflow.write_text(json.dumps({"1": nodes["1"], "9": broken, "3": nodes["3"]}))
    assert batch("--inputs", clips, servers=[server]) == 1
    assert "a: FAILED, node 9 'Weak node' (Break): ValueError: no such thing" in batch.text
    assert "0 done, 3 failed" in batch.text
    error = {"node": "9", "title": "Weak node", "class": "Break", "message": "ValueError: no such thing"}
    assert batch.jobs["b"]["error"] == error
    assert len(server.prompts) == 3


def test_a_refused_prompt_is_told_with_node_and_message(batch, server, clips):
    assert batch("--inputs", clips / "a.mp4", "--set", "2.model=other", servers=[server]) == 1
    words = "node 2 'My Sampler' (Sampler): Value not in list: model: 'other' not in ['model']"
    assert words in batch.text
    assert server.prompts == []


def test_a_word_that_comes_late_ends_no_other_job(batch, server, clips):
    server.say_null_late, server.step_seconds = True, 0.02
    assert batch("--inputs", clips, "--seeds", "1,2", servers=[server]) == 0
    assert all(batch.seed_in(f"{name}_seed{seed}.mp4") == seed for name in "abc" for seed in (1, 2))


def test_without_a_word_from_the_websocket(batch, server, clips):
    server.speaks = False
    assert batch("--inputs", clips, servers=[server]) == 0
    assert batch.files == ["a.mp4", "b.mp4", "c.mp4"]


def test_a_server_that_chooses_prompt_ids_itself(batch, server, clips):
    server.knows_prompt_ids = False
    assert batch("--inputs", clips, servers=[server]) == 0
    assert batch.jobs["a"]["prompt_id"].startswith("own-")


def test_a_restart_of_the_server(batch, server, clips, in_background):
    server.release.clear()

    def restart():
        server.wait_for(lambda: server.running and server.queue)
        server.stop()
        time.sleep(0.2)
        server.release.set()
        server.start()

    in_background(restart, server)
    assert batch("--inputs", clips, servers=[server]) == 0
    assert batch.files == ["a.mp4", "b.mp4", "c.mp4"]
    assert len(server.prompts) == 5  # two were lost
    assert f"{server.url} is there again" in batch.text
    assert "a: waits again" in batch.text


def test_a_job_that_ends_the_server_each_time_is_given_up(batch, server, clips, in_background):
    server.release.clear()

    def crash():
        for _ in range(3):
            server.wait_for(lambda: server.running and batch.state("a") == "running")
            server.restart()
        server.release.set()

    in_background(crash, server)
    assert batch("--inputs", clips / "a.mp4", servers=[server]) == 1
    assert "it was running 3 times then, and may be the reason" in batch.text


def test_interrupted_by_somebody(batch, server, clips, in_background):
    server.release.clear()

    def interrupt():
        server.wait_for(lambda: server.running and len(server.queue) == 1)
        server.interrupted.set()
        server.wait_for(lambda: len(server.history) == 1)
        server.release.set()

    in_background(interrupt, server)
    assert batch("--inputs", clips, servers=[server]) == 1
    assert "a: FAILED, node 2 'My Sampler' (Sampler): interrupted" in batch.text
    assert batch.files == ["b.mp4", "c.mp4"]


def test_removed_from_the_queue_by_somebody(batch, server, clips, in_background):
    server.release.clear()

    def remove():
        server.wait_for(lambda: server.running and len(server.queue) == 1)
        time.sleep(0.1)  # the answer to the prompt has arrived
        server.queue.clear()
        server.wait_for(lambda: batch.state("b") == "failed")
        server.release.set()

    in_background(remove, server)
    assert batch("--inputs", clips, servers=[server]) == 1
    assert f"b: FAILED, removed from the queue of {server.url} by somebody" in batch.text
    assert batch.files == ["a.mp4", "c.mp4"]


def test_a_server_that_hangs_for_a_while(batch, server, clips, in_background):
    server.hangs = True
    in_background(lambda: (time.sleep(1.3), setattr(server, "hangs", False)))
    assert batch("--inputs", clips, "--timeout", "1", servers=[server]) == 0
    assert "does not answer (timed out); trying again for 1 s" in batch.text


def test_no_server_at_all(batch, server, clips):
    server.hangs = True
    assert batch("--inputs", clips, "--timeout", "0.2", servers=[server]) == 1
    assert "no server is left" in batch.text
    assert {job["state"] for job in batch.jobs.values()} == {"waiting"}


def test_a_file_the_server_finds_too_large(batch, server, clips):
    server.refuses_uploads = True
    assert batch("--inputs", clips / "a.mp4", servers=[server]) == 1
    assert "--max-upload-size" in batch.text


def test_an_output_that_is_left_out_is_told(batch, server, clips):
    words = {"message": "Required input is missing", "details": "video"}
    server.node_errors = {"3": {"class_type": "Save", "errors": [words]}}
    assert batch("--inputs", clips / "a.mp4", servers=[server]) == 0
    assert "outputs are left out: node 3 'Save': Required input is missing: video" in batch.text
    assert batch.jobs["a"]["warning"].startswith("outputs are left out")


def test_a_result_that_is_gone(batch, server, clips, in_background):
    server.release.clear()

    def lose():
        server.wait_for(lambda: server.running)
        server.files = Forgetful()
        server.release.set()

    in_background(lose, server)
    assert batch("--inputs", clips / "a.mp4", servers=[server]) == 1
    assert "its result is no longer on" in batch.text
    assert batch.files == []


class Forgetful(dict):
    def __or__(self, other):
        return self

    def __ior__(self, other):
        return self
