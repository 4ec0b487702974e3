"""Multi-CFG in the host's sampling stack: what it costs, and that it is the host's CFG where the two mean the same."""

import pytest

from .graphs import measured
from .test_equality import Setup

pytestmark = pytest.mark.live

PAPER = {"steps": 50, "s_txt": 3.0, "s_ref": 1.0, "n_ref": 15}


@pytest.mark.parametrize(
    ("null_reference", "scales", "calls", "items"),
    [
        # 15 steps of three predictions and 35 of two; of one shape they fit into one call of the model.
        ("zeros", {}, 50, 115),
        ("drop", {}, 65, 115),
        ("drop", {"s_ref": 0.0}, 50, 100),
        ("drop", {"s_txt": 0.0}, 65, 65),
        ("zeros", {"s_txt": 0.0, "s_ref": 0.0}, 50, 50),
    ],
)
def test_evaluations_of_the_model(server, install, null_reference, scales, calls, items):
    key = f"evaluations-{null_reference}-{scales}"
    setup = Setup(install)
    counted = setup.graph.add("GVRTestCountModel", model=setup.loaded, key=key, wait=0.0)
    setup.graph.probe(setup.sample(counted, null_reference=null_reference, **{**PAPER, **scales}))

    server.run(setup.graph.prompt)

    count = server.get("/gvr_test/counts")[key]
    assert (count["calls"], count["items"]) == (calls, items)


def advanced(graph, model, guider, latent):
    """SamplerCustomAdvanced of the host with its own noise."""
    wires = {"noise": graph.add("RandomNoise", noise_seed=1), "guider": guider, "latent_image": latent}
    wires["sampler"] = graph.add("KSamplerSelect", sampler_name="euler")
    wires["sigmas"] = graph.add("BasicScheduler", model=model, scheduler="simple", steps=6, denoise=1.0)
    return graph.add("SamplerCustomAdvanced", **wires)


def multi_cfg(setup, model, **scales):
    scales = {"s_txt": 3.0, "s_ref": 0.0, "n_ref": 0, "null_reference": "drop", **scales}
    wires = {"model": model, "positive": setup.positive, "negative": setup.negative}
    return setup.graph.add("GVRMultiCFGGuider", **wires, **scales)


def test_without_reference_guidance_it_is_the_hosts_cfg(server, install):
    setup = Setup(install)
    graph, model = setup.graph, setup.loaded
    wires = {"positive": setup.positive, "negative": setup.negative}
    host_guider = graph.add("CFGGuider", model=model, **wires, cfg=4.0)
    settings = {"seed": 1, "steps": 6, "cfg": 4.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    probes = {
        "ours": graph.probe(advanced(graph, model, multi_cfg(setup, model), setup.latent), name="cfg_ours"),
        "host": graph.probe(advanced(graph, model, host_guider, setup.latent), name="cfg_host"),
        "ksampler": graph.probe(
            graph.add("KSampler", model=model, **wires, latent_image=setup.latent, **settings), name="cfg_ksampler"
        ),
    }

    entry = server.run(graph.prompt)

    results = {name: server.array(measured(entry, probe, "/samples")) for name, probe in probes.items()}
    assert results["ours"].std() > 0.1
    assert (results["ours"] - results["host"]).abs().max() < 1e-4
    assert (results["ours"] - results["ksampler"]).abs().max() < 1e-4


def test_hooks_of_other_packs_run(server, install):
    setup = Setup(install)
    hooked = setup.graph.add("GVRTestHooks", model=setup.loaded, key="hooks")
    guider = multi_cfg(setup, hooked, s_ref=1.0, n_ref=2)
    result = setup.graph.probe(advanced(setup.graph, hooked, guider, setup.latent))

    entry = server.run(setup.graph.prompt)

    count = server.get("/gvr_test/counts")["hooks"]
    assert count == {"pre": 6, "post": 6}
    # The hook after the guidance gives zeros back, and that is what comes out: zeros of the model, raw Wan's means.
    channels = measured(entry, result, "/samples")
    assert channels["std"] == pytest.approx(0.7, abs=0.3)


def test_another_cfg_formula_acts_while_text_is_all_there_is(server, install):
    """RescaleCFG of the host: with a multiplier of 0 it is plain CFG, with 0.7 it is not."""
    setup = Setup(install)
    graph, model = setup.graph, setup.loaded
    probes = {"plain": graph.probe(advanced(graph, model, multi_cfg(setup, model), setup.latent), name="formula_plain")}
    for multiplier in (0.0, 0.7):
        rescaled = graph.add("RescaleCFG", model=model, multiplier=multiplier)
        sampled = advanced(graph, rescaled, multi_cfg(setup, rescaled), setup.latent)
        probes[multiplier] = graph.probe(sampled, name=f"formula_{multiplier}")

    entry = server.run(graph.prompt)

    results = {name: server.array(measured(entry, probe, "/samples")) for name, probe in probes.items()}
    assert (results[0.0] - results["plain"]).abs().max() < 1e-3
    assert (results[0.7] - results["plain"]).abs().max() > 0.05
