"""Input that is out of the ordinary but no mistake: it works, with a word in the log where it matters."""

import pytest

from .graphs import NANO, measured

pytestmark = pytest.mark.live


def test_values_of_another_space_are_warned_about(server, graph, install):
    text = graph.text("a cat")
    loaded = graph.load(install("wan_cascade"))
    hunyuan = graph.latent(std=1 / 0.476986, frames=5, height=30, width=30)  # Wan's channels, other values
    result = graph.probe(graph.upsample(hunyuan, loaded, positive=text, negative=text)[3])
    before = len(server.log())

    entry = server.run(graph.prompt)

    assert measured(entry, result, "/samples")["shape"] == [1, 16, 5, 60, 60]
    said = server.log()[before:]
    assert "HunyuanVideo" in said
    assert "source_vae" in said


def test_noise_outside_the_trained_range_is_warned_about(server, graph):
    result = graph.probe(graph.upsample(graph.latent(channels=48), graph.load(), noise_aug=0.9)[3])
    before = len(server.log())

    entry = server.run(graph.prompt)

    assert measured(entry, result, "/samples")["shape"] == [1, 48, 2, 16, 16]
    assert "0.9" in server.log()[before:]


@pytest.mark.parametrize(("height", "width"), [(7, 9), (5, 8), (1, 1)])
def test_odd_latents_are_padded_and_cut(server, graph, height, width):
    loaded = graph.load()
    latent = graph.nano(graph.latent(channels=48, height=height, width=width), loaded, scale=1.5)
    result = graph.probe(graph.decode(latent, loaded[1]))

    pixels = [round(1.5 * 8 * height), round(1.5 * 8 * width)]
    assert measured(server.run(graph.prompt), result)["shape"] == [5, *pixels, 3]


def test_a_reference_larger_than_the_target_is_shrunk(server, graph):
    loaded = graph.load()
    up = graph.upsample(graph.latent(channels=48), loaded)  # 128 x 128 pixels
    picture = graph.add("GVRTestImages", count=1, height=300, width=200, seed=0)
    video = graph.add("GVRTestImages", count=6, height=130, width=500, seed=1)
    wires = {"positive": up[0], "negative": up[1], "vae": loaded[1]}
    referenced = graph.add("GVRReferenceTokens", **wires, image_2=picture, video=video)
    condition = graph.probe(referenced)
    sampled = graph.sample(loaded, referenced[0], referenced[1], up[2], **{**NANO, "s_ref": 1.0, "n_ref": 1})
    result = graph.probe(sampled)

    entry = server.run(graph.prompt)

    assert measured(entry, condition, "/0/1/gvr_references")["shape"] == [1, 48, 1 + 3, 16, 16]
    assert measured(entry, condition, "/0/1/gvr_reference_images")["value"] == 1
    assert measured(entry, result, "/samples")["shape"] == [1, 48, 2, 16, 16]
    assert "larger than the target" in server.log()


def test_the_defaults_of_guidance_suit_a_run_without_references(server, graph):
    loaded = graph.load()
    up = graph.upsample(graph.latent(channels=48), loaded)
    result = graph.probe(graph.sample(loaded, up[0], up[1], up[2], steps=3))

    assert measured(server.run(graph.prompt), result, "/samples")["shape"] == [1, 48, 2, 16, 16]


def test_a_grey_reference_is_taken(server, graph):
    loaded = graph.load()
    up = graph.upsample(graph.latent(channels=48), loaded)
    picture = graph.add("GVRTestImages", count=1, height=64, width=64, seed=0)
    mask = graph.add("ImageToMask", image=picture, channel="red")
    grey = graph.add("MaskToImage", mask=mask)
    wires = {"positive": up[0], "negative": up[1], "vae": loaded[1]}
    result = graph.probe(graph.add("GVRReferenceTokens", **wires, image_1=grey))

    shape = measured(server.run(graph.prompt), result, "/0/1/gvr_references")["shape"]
    assert shape == [1, 48, 1, 16, 16]


def test_a_prompt_that_is_not_there_blocks_what_needs_it_and_nothing_else(server, graph):
    up = graph.upsample(graph.latent(), None)
    prompt, enlarged = graph.probe(up[0]), graph.probe(up[3])

    entry = server.run(graph.prompt)

    assert measured(entry, enlarged, "/samples")["shape"] == [1, 16, 2, 16, 16]
    assert prompt.id not in entry["outputs"]
