"""Several servers share a batch."""

import time


def test_a_fast_server_does_more(batch, make_server, clips):
    fast, slow = make_server(step_seconds=0.01), make_server(step_seconds=0.25)
    assert batch("--inputs", clips, "--seeds", "1,2,3,4", servers=[fast, slow]) == 0
    assert len(batch.files) == 12
    assert len(fast.prompts) + len(slow.prompts) == 12
    assert len(fast.prompts) > len(slow.prompts) >= 2


def test_no_server_has_more_than_its_depth(batch, make_server, clips, in_background):
    first, second = make_server(), make_server()
    first.release.clear()
    second.release.clear()
    counts = []

    def watch():
        time.sleep(0.4)
        counts.extend([len(first.prompts), len(second.prompts)])
        first.release.set()
        second.release.set()

    in_background(watch, first, second)
    assert batch("--inputs", clips, "--seeds", "1,2,3", "--depth", "3", servers=[first, second]) == 0
    assert counts == [3, 3]


def test_jobs_of_a_server_that_stays_away_go_to_the_others(batch, make_server, clips, in_background):
    good, bad = make_server(step_seconds=0.05), make_server()
    bad.release.clear()
    in_background(lambda: (bad.wait_for(lambda: len(bad.prompts) == 2), bad.stop()), bad)
    assert batch("--inputs", clips, "--seeds", "1,2", "--timeout", "0.3", servers=[good, bad]) == 0
    assert len(batch.files) == 6
    assert len(good.prompts) == 6
    assert f"{bad.url} did not come back within 0.3 s" in batch.text
    bad.start()


def test_a_server_that_comes_back_drops_what_others_do_now(batch, make_server, clips, in_background):
    good, away = make_server(), make_server()
    good.release.clear()
    away.release.clear()

    def leave_and_return():
        away.wait_for(lambda: away.running and len(away.queue) == 1)
        away.hangs = True
        good.wait_for(lambda: away.url not in {job["server"] for job in batch.jobs.values()}, 10)
        away.hangs = False
        away.wait_for(lambda: any(e["status"]["status_str"] == "error" for e in away.history.values()), 10)
        good.release.set()
        away.release.set()

    in_background(leave_and_return, good, away)
    assert batch("--inputs", clips, "--seeds", "1,2", "--timeout", "0.3", servers=[good, away]) == 0
    assert len(batch.files) == 6


def test_a_server_that_lacks_a_model_is_left_out(batch, make_server, clips):
    good, poor = make_server(step_seconds=0.02), make_server(models=set())
    assert batch("--inputs", clips, "--seeds", "1,2,3", servers=[good, poor]) == 0
    assert len(good.prompts) == 9
    assert f"{poor.url} accepted none of 3 jobs and is left out" in batch.text
    assert "not accepted by" in batch.text


def test_what_no_server_accepts_fails(batch, make_server, clips):
    servers = [make_server(models=set()), make_server(models=set())]
    assert batch("--inputs", clips, "--seeds", "1,2,3", servers=servers) == 1
    assert "0 done, 9 failed" in batch.text
    assert batch.text.count("FAILED, node 2") == 9


def test_a_server_named_twice_counts_once(batch, server, clips):
    assert batch("--inputs", clips, servers=[server, server]) == 0
    assert len(server.prompts) == 3
