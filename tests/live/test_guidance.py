"""Multi-CFG in the host's sampling stack: what it costs, and that it is the host's CFG where the two mean the same."""

import pytest

from .graphs import NANO, measured
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


def nano_graph(graph):
    """A class-free cascade's upsampling; conditions and latent."""
    loaded = graph.load()
    clip = graph.add("GVRSampleClip", width=64, height=48, frames=5, seed=0)
    return loaded, graph.upsample(graph.encode(clip, loaded[1]), loaded)


@pytest.mark.parametrize("sampler", ["euler_cfg_pp", "res_multistep_cfg_pp"])
def test_cfg_pp_samplers_are_the_ksamplers(server, graph, sampler):
    """They ask for the prediction without text, which a class-free cascade has not."""
    loaded, up = nano_graph(graph)
    model = graph.add("ModelSamplingSD3", model=loaded, shift=NANO["shift"])
    wires = {"positive": up[0], "negative": up[1]}
    settings = {"seed": 1, "steps": 4, "cfg": 1.0, "sampler_name": sampler, "scheduler": "simple", "denoise": 1.0}
    theirs = graph.add("KSampler", model=model, **wires, latent_image=up[2], **settings)
    guider = graph.add("GVRMultiCFGGuider", model=model, **wires, s_txt=3.0, s_ref=1.0, n_ref=2, null_reference="drop")
    advanced_wires = {"noise": graph.add("RandomNoise", noise_seed=1), "guider": guider, "latent_image": up[2]}
    advanced_wires["sampler"] = graph.add("KSamplerSelect", sampler_name=sampler)
    advanced_wires["sigmas"] = graph.add("BasicScheduler", model=model, scheduler="simple", steps=4, denoise=1.0)
    ours = graph.add("SamplerCustomAdvanced", **advanced_wires)
    probes = [graph.probe(node, name=f"{sampler}_{index}") for index, node in enumerate((ours, theirs))]

    entry = server.run(graph.prompt)

    first, second = (server.array(measured(entry, probe, "/samples")) for probe in probes)
    assert second.std() > 0.01
    assert (first - second).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("node", "settings"),
    [
        ("APG", {"eta": 1.0, "norm_threshold": 5.0, "momentum": 0.0}),
        ("TCFG", {}),
        ("RenormCFG", {"cfg_trunc": 100.0, "renorm_cfg": 1.0}),
    ],
)
def test_hooks_of_the_host_leave_a_class_free_cascade_as_it_is(server, graph, node, settings):
    """They move a prediction away from the one without text; where those are one, there is nowhere to move."""
    loaded, up = nano_graph(graph)
    patched = graph.add(node, model=loaded, **settings)
    probes = [
        graph.probe(graph.sample(model, up[0], up[1], up[2], **NANO), name=f"{node}_{index}")
        for index, model in enumerate((loaded, patched))
    ]

    entry = server.run(graph.prompt)

    plain, hooked = (server.array(measured(entry, probe, "/samples")) for probe in probes)
    assert plain.std() > 0.01
    assert (plain - hooked).abs().max() < 1e-4


def test_apg_acts_on_text(server, install):
    """What it does with text it does behind Multi-CFG as behind the host's own guidance."""
    setup = Setup(install)
    graph = setup.graph
    patched = graph.add("APG", model=setup.loaded, eta=0.5, norm_threshold=2.0, momentum=0.0)
    wires = {"positive": setup.positive, "negative": setup.negative}
    theirs = advanced(graph, patched, graph.add("CFGGuider", model=patched, **wires, cfg=4.0), setup.latent)
    ours = advanced(graph, patched, multi_cfg(setup, patched), setup.latent)
    plain = advanced(graph, setup.loaded, multi_cfg(setup, setup.loaded), setup.latent)
    probes = {
        name: graph.probe(node, name=f"apg_{name}")
        for name, node in (("theirs", theirs), ("ours", ours), ("plain", plain))
    }

    entry = server.run(graph.prompt)

    found = {name: server.array(measured(entry, probe, "/samples")) for name, probe in probes.items()}
    assert (found["ours"] - found["plain"]).abs().max() > 1e-2
    assert (found["ours"] - found["theirs"]).abs().max() < 1e-4


def test_two_condition_nodes_run_in_front_of_three(server, install):
    """SkipLayerGuidance evaluates text and no text itself; with references there is a third."""
    setup = Setup(install)
    graph = setup.graph
    settings = {"double_layers": "1", "single_layers": "", "start_percent": 0.0, "end_percent": 1.0}
    patched = graph.add("SkipLayerGuidanceDiTSimple", model=setup.loaded, **settings)
    probes = []
    for index, model in enumerate((setup.loaded, patched)):
        sampled = advanced(graph, model, multi_cfg(setup, model, s_ref=1.0, n_ref=3), setup.latent)
        probes.append(graph.probe(sampled, name=f"skip_{index}"))

    entry = server.run(graph.prompt)

    plain, skipped = (server.array(measured(entry, probe, "/samples")) for probe in probes)
    assert (plain - skipped).abs().max() > 1e-2
