"""What the schedule plot is drawn from: the sigmas a run really has, and the evaluations it really makes."""

import urllib.parse

import pytest

from .test_equality import Setup

pytestmark = pytest.mark.live

NANO = "nano (bundled)"
GUIDANCE = {"s_txt": 3.0, "s_ref": 1.0, "n_ref": 2, "null_reference": "drop"}


def ask(server, **question):
    defaults = {"source": "multi", "scheduler": "simple", "steps": 6, "denoise": 1.0, "sampler_name": "euler"}
    question = {**defaults, **GUIDANCE, **question}
    return server.get(f"/gvr/sigmas?{urllib.parse.urlencode(question)}")


@pytest.mark.parametrize(
    ("scheduler", "sampler_name", "shift", "denoise"),
    [
        ("simple", "euler", 0.3, 1.0),
        ("simple", "pndm", 0.0, 1.0),
        ("beta", "euler", 5.0, 0.6),
        ("normal", "uni_pc", 3.0, 1.0),
        ("sgm_uniform", "euler", 8.0, 0.35),
    ],
)
def test_the_sigmas_are_those_of_the_run(server, graph, scheduler, sampler_name, shift, denoise):
    key = f"sigmas-{scheduler}-{sampler_name}-{shift}-{denoise}"
    widgets = {"scheduler": scheduler, "sampler_name": sampler_name, "shift": shift, "denoise": denoise, "steps": 6}
    loaded = graph.load()
    counted = graph.add("GVRTestCountModel", model=loaded, key=key, wait=0.0)
    graph.probe(graph.nano(graph.latent(channels=48), counted, sampler=widgets))

    told = ask(server, **widgets, checkpoint=NANO)
    server.run(graph.prompt)

    used = server.get("/gvr_test/counts")[key]["sigmas"]
    steps = [sigma for index, sigma in enumerate(used) if index == 0 or sigma != used[index - 1]]
    assert told["sigmas"][: len(steps)] == pytest.approx(steps, abs=2e-5)
    assert told["sigmas"][-1] == 0.0
    assert (len(told["sigmas"]), told["steps"]) == (7, 6)
    assert told["shift"] == (shift or 0.3)
    assert told["shift_source"] == ("widget" if shift else "checkpoint")


@pytest.mark.parametrize("sampler_name", ["euler", "heun", "dpmpp_2m", "dpmpp_2s_ancestral", "heunpp2", "seeds_3"])
def test_the_evaluations_are_those_of_the_run(server, install, sampler_name):
    key = f"route-evaluations-{sampler_name}"
    setup = Setup(install)
    counted = setup.graph.add("GVRTestCountModel", model=setup.loaded, key=key, wait=0.0)
    setup.graph.probe(setup.sample(counted, sampler_name=sampler_name, steps=6, **GUIDANCE))

    told = ask(server, sampler_name=sampler_name, references="yes", text="yes")
    server.run(setup.graph.prompt)

    assert told["evaluations"] == server.get("/gvr_test/counts")[key]["items"]
    assert sum(steps * each for steps, each in told["stretches"]) == told["evaluations"]


def test_the_papers_run(server):
    told = ask(server, steps=50, n_ref=15, references="yes", sampler_name="pndm")
    assert told["stretches"] == [[15, 3], [35, 2]]
    assert told["evaluations"] == 115


def test_the_other_nodes_schedules(server):
    partial = ask(server, source="partial", denoise=0.35, checkpoint=NANO)
    assert partial["sigmas"][0] == pytest.approx(0.35)
    basic = ask(server, source="basic", steps=4, denoise=0.5, shift=1)
    assert basic["sigmas"] == pytest.approx([0.5, 0.375, 0.25, 0.125, 0.0], abs=2e-3)
    detail = ask(server, source="detail", checkpoint=NANO)
    assert "no detail table" in detail["problem"]


def test_a_guider_without_known_sigmas_tells_its_rule(server):
    told = ask(server, source="none", n_ref=15, references="yes")
    assert told["sigmas"] is None
    assert told["stretches"] == [[15, 3], [1, 2]]


def test_what_is_assumed_is_said(server):
    told = ask(server, references="unknown")
    assert told["shift_source"] == "assumed"
    assert any("shift 1" in text for text in told["assumed"])
    assert any("with text" in text for text in told["assumed"])
    assert any("without references" in text for text in told["assumed"])
    assert ask(server, checkpoint=NANO, references="no")["assumed"] == []
    gone = ask(server, checkpoint="gone.safetensors")
    assert any("gone.safetensors" in text for text in gone["assumed"])
    assert len(gone["sigmas"]) == 7


def test_a_window_longer_than_the_run_is_a_problem(server):
    told = ask(server, n_ref=15, references="yes")
    assert "lower n_ref to at most 6" in told["problem"]
    assert len(told["sigmas"]) == 7


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": "many"}, "steps is 'many'"),
        ({"steps": 1e9}, "steps is 1e+09"),
        ({"scheduler": "simpel"}, "did you mean simple"),
        ({"shift": -1}, "shift is -1"),
        ({"s_txt": "nan"}, "s_txt is nan"),
        ({"source": "else"}, "source is 'else'"),
        ({"references": "maybe"}, "references is 'maybe'"),
    ],
)
def test_nonsense_gets_a_sentence(server, question, text):
    assert text in ask(server, **question)["problem"]
