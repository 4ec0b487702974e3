"""SDEdit Degrade with a stock model: exact sigmas, as many evaluations as asked for, and refusals."""

import pytest

from .comfy_server import ComfyError
from .graphs import Graph, measured

pytestmark = pytest.mark.live

SETTINGS = {"mode": "alpha", "alpha": 0.35, "k": 10, "steps": 6, "cfg": 1.0, "sampler_name": "euler"}
SETTINGS |= {"scheduler": "simple", "seed": 1}


class Degraded:
    """A graph that degrades a random latent with the tiny Wan model, its evaluations counted under a key."""

    def __init__(self, install, key):
        self.graph, self.key = Graph(), key
        model = self.graph.add("UNETLoader", unet_name=install("wan"), weight_dtype="default")
        self.model = self.graph.add("GVRTestCountModel", model=model, key=key, wait=0.0)
        self.text, self.latent = self.graph.text("a street"), self.graph.latent()
        self.source = self.graph.probe(self.latent, name=f"{key}_source")

    def run(self, server, **changes):
        """The counts, the latent before and the latent after."""
        wires = {"model": self.model, "positive": self.text, "negative": self.text, "samples": self.latent}
        degraded = self.graph.add("GVRSDEditDegrade", **wires, **{**SETTINGS, **changes})
        probe = self.graph.probe(degraded, name=self.key)
        entry = server.run(self.graph.prompt)
        before, after = (server.array(measured(entry, p, "/samples")) for p in (self.source, probe))
        return server.get("/gvr_test/counts").get(self.key), before, after


@pytest.mark.parametrize("alpha", [0.3, 0.4, 1.0])
def test_it_starts_at_alpha_and_takes_the_steps_it_was_given(server, install, alpha):
    count, before, after = Degraded(install, f"sdedit-{alpha}").run(server, alpha=alpha)

    assert count["calls"] == count["items"] == SETTINGS["steps"]
    assert count["sigmas"][0] == pytest.approx(alpha, abs=1e-6)
    assert (after - before).abs().max() > 1e-3


def test_guidance_takes_two_evaluations_a_step(server, install):
    count, _, _ = Degraded(install, "sdedit-cfg").run(server, cfg=6.0)
    assert count["items"] == 2 * SETTINGS["steps"]


def test_the_last_k_steps_are_those_of_a_whole_run(server, install):
    whole, _, _ = Degraded(install, "sdedit-whole").run(server, mode="steps", k=20, steps=20)
    last, _, _ = Degraded(install, "sdedit-last").run(server, mode="steps", k=7, steps=20)

    assert last["sigmas"] == pytest.approx(whole["sigmas"][-7:], abs=1e-7)


@pytest.mark.parametrize("nothing", [{"alpha": 0.0}, {"mode": "steps", "k": 0}])
def test_nothing_to_do_changes_nothing(server, install, nothing):
    count, before, after = Degraded(install, f"sdedit-{nothing}".replace(" ", "")).run(server, **nothing)
    assert count is None
    assert (after == before).all()


def test_same_seed_same_latent(server, install):
    results = [Degraded(install, f"sdedit-seed-{n}").run(server, seed=seed)[2] for n, seed in enumerate((1, 1, 2))]
    assert (results[0] == results[1]).all()
    assert (results[0] - results[2]).abs().max() > 1e-3


def test_more_steps_than_there_are(server, install):
    with pytest.raises(ComfyError, match="k is 30, expected 0 to 20"):
        Degraded(install, "sdedit-k").run(server, mode="steps", k=30, steps=20)


def test_a_model_that_is_no_flow_model(server, install):
    degraded = Degraded(install, "sdedit-eps")
    sampling = {"sampling": "v_prediction", "zsnr": False}
    degraded.model = degraded.graph.add("ModelSamplingDiscrete", model=degraded.model, **sampling)
    with pytest.raises(ComfyError, match="no flow model"):
        degraded.run(server)


def test_flow_degrade_changes_what_moves_and_nothing_else(server, graph):
    clip = graph.add("GVRSampleClip", width=192, height=128, frames=6, seed=0)
    settings = {"strength": 0.7, "ellipses": 200, "blur": 0.8, "threshold": 1.0}
    nodes = [graph.add("GVRFlowDegrade", images=clip, seed=seed, **settings) for seed in (1, 1, 2)]
    source, first, again, other = (graph.probe(n, name=f"flow_{i}") for i, n in enumerate((clip, *nodes)))
    motion = graph.probe(nodes[0][1], name="flow_motion")
    picture = graph.probe(nodes[0][2])

    entry = server.run(graph.prompt)

    before, after, same, different = (server.array(measured(entry, p)) for p in (source, first, again, other))
    mask = server.array(measured(entry, motion)).bool()
    assert mask.any()
    assert not mask.all()
    assert (before[~mask] == after[~mask]).all()
    assert (before[mask] - after[mask]).abs().mean() > 0.001
    assert (after == same).all()
    assert (after != different).any()
    assert measured(entry, picture)["shape"] == [6, 128, 192, 3]


def test_a_still_clip_comes_back_bit_by_bit(server, graph):
    clip = graph.add("GVRSampleClip", width=192, height=128, frames=1, seed=0)
    still = graph.add("RepeatImageBatch", image=clip, amount=5)
    settings = {"strength": 1.0, "ellipses": 200, "blur": 1.0, "threshold": 0.5, "seed": 3}
    degraded = graph.add("GVRFlowDegrade", images=still, **settings)
    source, result = graph.probe(still, name="still"), graph.probe(degraded, name="still_degraded")

    entry = server.run(graph.prompt)

    assert (server.array(measured(entry, source)) == server.array(measured(entry, result))).all()
