"""Mistakes that users make: each is answered in words that help, and the server goes on."""

import re

import pytest

from .comfy_server import ComfyError
from .graphs import NANO, Graph, measured

pytestmark = pytest.mark.live


def nano_upsample(graph, install, *, latent=None, **changes):
    given = {"channels": 48, **(latent or {})}
    graph.probe(graph.upsample(graph.latent(**given), graph.load(), **changes)[3])


def wrong_channels(graph, install):
    nano_upsample(graph, install, latent={"channels": 16})


def image_latent(graph, install):
    nano_upsample(graph, install, latent={"kind": "image"})


def nan_latent(graph, install):
    nano_upsample(graph, install, latent={"kind": "nan"})


def batch_of_two(graph, install):
    nano_upsample(graph, install, latent={"batch": 2})


def batch_in_the_sampler(graph, install):
    loaded = graph.load()
    up = graph.upsample(graph.latent(channels=48), loaded)
    big = graph.latent(channels=48, height=16, width=16, batch=2)
    graph.probe(graph.sample(loaded, up[0], up[1], big, **NANO))


def target_below_input(graph, install):
    nano_upsample(graph, install, latent={"height": 100, "width": 120, "frames": 1}, target="720")


def scale_below_one(graph, install):
    nano_upsample(graph, install, scale=0.5)


def odd_latent_in_the_sampler(graph, install):
    loaded = graph.load()
    up = graph.upsample(graph.latent(channels=48), loaded)
    graph.probe(graph.sample(loaded, up[0], up[1], graph.latent(channels=48, height=15, width=13), **NANO))


def no_reference(graph, install):
    loaded = graph.load()
    up = graph.upsample(graph.latent(channels=48), loaded)
    graph.probe(graph.add("GVRReferenceTokens", positive=up[0], negative=up[1], vae=loaded[1]))


def eleven_references(graph, install):
    loaded = graph.load()
    up = graph.upsample(graph.latent(channels=48), loaded)
    pictures = {"image_1": graph.add("GVRTestImages", count=6, height=16, width=16, seed=0)}
    pictures["image_3"] = graph.add("GVRTestImages", count=5, height=24, width=16, seed=1)
    graph.probe(graph.add("GVRReferenceTokens", positive=up[0], negative=up[1], vae=loaded[1], **pictures))


def references_before_the_condition(graph, install):
    text, loaded = graph.text("a cat"), graph.load()
    picture = graph.add("GVRTestImages", count=1, height=16, width=16, seed=0)
    graph.probe(graph.add("GVRReferenceTokens", positive=text, negative=text, vae=loaded[1], image_1=picture))


def cascade_of_another_space(graph, install):
    text = graph.text("a cat")
    loaded = graph.load(install("wan_cascade"))
    graph.probe(graph.upsample(graph.latent(channels=48), loaded, positive=text, negative=text))


def ordinary_wan(graph, install):
    return graph.add("UNETLoader", unet_name=install("wan"), weight_dtype="default")


def ordinary_model_to_upsample(graph, install):
    text = graph.text("a cat")
    graph.probe(graph.upsample(graph.latent(), ordinary_wan(graph, install), positive=text, negative=text))


def ordinary_model_to_sample(graph, install):
    text = graph.text("a cat")
    graph.probe(graph.sample(ordinary_wan(graph, install), text, text, graph.latent(), steps=20))


def ordinary_model_to_guide(graph, install):
    text, scales = graph.text("a cat"), {"s_txt": 3.0, "s_ref": 1.0, "n_ref": 15, "null_reference": "drop"}
    model = ordinary_wan(graph, install)
    guider = graph.add("GVRMultiCFGGuider", model=model, positive=text, negative=text, **scales)
    run_guider(graph, model, guider, steps=20)


def run_guider(graph, model, guider, *, steps, latent=None):
    wires = {"noise": graph.add("RandomNoise", noise_seed=0), "guider": guider}
    wires["sampler"] = graph.add("KSamplerSelect", sampler_name="euler")
    wires["sigmas"] = graph.add("BasicScheduler", model=model, scheduler="simple", steps=steps, denoise=1.0)
    graph.probe(graph.add("SamplerCustomAdvanced", latent_image=latent or graph.latent(), **wires))


def missing_file(graph, install):
    graph.probe(graph.upsample(graph.latent(), graph.load("not_there.safetensors")))


def truncated_file(graph, install):
    graph.probe(graph.upsample(graph.latent(), graph.load(install("truncated"))))


def ordinary_file(graph, install):
    graph.probe(graph.upsample(graph.latent(), graph.load(install("wan"))))


def referenced_wan(graph, install):
    """A cascade that is guided by a reference, and what Latent Cascade Upsample has made for it."""
    text = graph.text("a cat")
    loaded = graph.load(install("wan_cascade"))
    up = graph.upsample(graph.latent(), loaded, positive=text, negative=text)
    picture = graph.add("GVRTestImages", count=1, height=64, width=64, seed=0)
    vae = graph.add("VAELoader", vae_name=install("wan_vae"))
    referenced = graph.add("GVRReferenceTokens", positive=up[0], negative=up[1], vae=vae, image_1=picture)
    return loaded, referenced, up


def n_ref_above_steps(graph, install):
    loaded, referenced, up = referenced_wan(graph, install)
    graph.probe(graph.sample(loaded, referenced[0], referenced[1], up[2], steps=10, n_ref=15))


def n_ref_above_steps_in_the_guider(graph, install):
    loaded, referenced, up = referenced_wan(graph, install)
    scales = {"s_txt": 3.0, "s_ref": 1.0, "n_ref": 15, "null_reference": "drop"}
    guider = graph.add("GVRMultiCFGGuider", model=loaded, positive=referenced[0], negative=referenced[1], **scales)
    run_guider(graph, loaded, guider, steps=10, latent=up[2])


def no_condition(graph, install):
    text = graph.text("a cat")
    graph.probe(graph.sample(graph.load(install("wan_cascade")), text, text, graph.latent(), steps=20))


def no_prompt(graph, install):
    graph.probe(graph.upsample(graph.latent(), graph.load(install("wan_cascade"))))


def empty_vae_output(graph, install):
    graph.probe(graph.decode(graph.latent(), graph.load(install("wan_cascade"))[1]))


def pixel_without_vae(graph, install):
    nano_upsample(graph, install, upsampler="pixel")


def source_vae_without_pixel(graph, install):
    loaded = graph.load()
    graph.probe(graph.upsample(graph.latent(channels=48), loaded, source_vae=loaded[1]))


def noise_between_its_meanings(graph, install):
    nano_upsample(graph, install, noise_aug=-0.5)


def size_of_a_latent_unknown(graph, install):
    graph.probe(graph.upsample(graph.latent(channels=48), None)[3])


def reference_video_too_long(graph, install):
    loaded = graph.load()
    up = graph.upsample(graph.latent(channels=48), loaded)
    video = graph.add("GVRTestImages", count=81, height=16, width=16, seed=0)
    graph.probe(graph.add("GVRReferenceTokens", positive=up[0], negative=up[1], vae=loaded[1], video=video))


def no_detail_table(graph, install):
    graph.probe(graph.add("GVRDetailAwareSigmas", model=graph.load(), steps=10, start=1.0))


MISTAKES = [
    (wrong_channels, "GVRLatentCascadeUpsample", ["16 channels", "Wan 2.1", "48", "source_vae"]),
    (image_latent, "GVRLatentCascadeUpsample", ["picture", "connect a video latent"]),
    (nan_latent, "GVRLatentCascadeUpsample", ["NaN", "sampler before"]),
    (batch_of_two, "GVRLatentCascadeUpsample", ["batch of 2", "batch_size to 1"]),
    (batch_in_the_sampler, "GVRMultiCFGSampler", ["batch of 2", "batch_size to 1"]),
    (target_below_input, "GVRLatentCascadeUpsample", ["720", "800", "smaller"]),
    (scale_below_one, "GVRLatentCascadeUpsample", ["scale", "smaller than min"]),
    (odd_latent_in_the_sampler, "GVRMultiCFGSampler", ["15, 13", "Latent Cascade Upsample"]),
    (no_reference, "GVRReferenceTokens", ["no reference is connected", "connect at least one image"]),
    (eleven_references, "GVRReferenceTokens", ["11 reference", "at most 10"]),
    (references_before_the_condition, "GVRReferenceTokens", ["behind Latent Cascade Upsample"]),
    (cascade_of_another_space, "GVRLatentCascadeUpsample", ["48 channels", "wan21", "16"]),
    (ordinary_model_to_upsample, "GVRLatentCascadeUpsample", ["no cascade", "connect Load GVR Cascade"]),
    (ordinary_model_to_sample, "GVRMultiCFGSampler", ["no cascade", "connect Load GVR Cascade"]),
    (ordinary_model_to_guide, "GVRMultiCFGGuider", ["no cascade", "connect Load GVR Cascade"]),
    (missing_file, "GVRLoadCascade", ["not_there.safetensors", "put it there|not in .*nano"]),
    (truncated_file, "GVRLoadCascade", ["gvr_truncated.safetensors", "cut off"]),
    (ordinary_file, "GVRLoadCascade", ["tiny_wan.safetensors", "not a cascade"]),
    (n_ref_above_steps, "GVRMultiCFGSampler", ["15", "n_ref", "10", "lower n_ref"]),
    (n_ref_above_steps_in_the_guider, "SamplerCustomAdvanced", ["15", "n_ref", "10", "lower n_ref"]),
    (no_condition, "GVRMultiCFGSampler", ["Latent Cascade Upsample"]),
    (no_prompt, "GVRLatentCascadeUpsample", ["CLIP Text Encode"]),
    (empty_vae_output, "GVRDecodeVideo", ["no VAE inside", "Load VAE"]),
    (pixel_without_vae, "GVRLatentCascadeUpsample", ["pixel", "connect the VAE"]),
    (source_vae_without_pixel, "GVRLatentCascadeUpsample", ["source_vae", "set upsampler to pixel"]),
    (noise_between_its_meanings, "GVRLatentCascadeUpsample", ["-0.5", "0 to 0.95", "-1"]),
    (size_of_a_latent_unknown, "GVRLatentCascadeUpsample", ["48 channels", "connect model"]),
    (reference_video_too_long, "GVRReferenceTokens", ["81 frames", "at most 77"]),
    (no_detail_table, "GVRDetailAwareSigmas", ["no detail table"]),
]


@pytest.mark.parametrize(
    ("build", "node", "words"), [pytest.param(*mistake, id=mistake[0].__name__) for mistake in MISTAKES]
)
def test_a_mistake_is_explained(server, graph, install, build, node, words):
    build(graph, install)

    with pytest.raises(ComfyError) as caught:
        server.run(graph.prompt)

    error = caught.value
    assert error.node_type == node, error
    assert [word for word in words if not re.search(word, error.message)] == [], error.message
    after = Graph()
    alive = after.probe(after.latent(seed=1))
    assert measured(server.run(after.prompt), alive, "/samples")["shape"] == [1, 16, 2, 8, 8]


@pytest.mark.parametrize(
    ("node", "choice"),
    [
        ("GVRLoadCascade", "weight_dtype"),
        ("GVRLatentCascadeUpsample", "target"),
        ("GVRLatentCascadeUpsample", "upsampler"),
        ("GVRMultiCFGSampler", "sampler_name"),
        ("GVRMultiCFGSampler", "scheduler"),
        ("GVRMultiCFGSampler", "null_reference"),
    ],
)
def test_an_unknown_choice_is_refused(server, graph, node, choice):
    # A saved workflow may name what another pack has added, or be written by hand; 0.3.64 passes it on to the node.
    loaded = graph.load()
    graph.probe(graph.nano(graph.latent(channels=48), loaded))
    for entry in graph.prompt.values():
        if entry["class_type"] == node:
            entry["inputs"][choice] = "no-such-choice"

    with pytest.raises(ComfyError) as caught:
        server.run(graph.prompt)

    assert caught.value.node_type == node
    assert "no-such-choice" in caught.value.message
    assert choice in caught.value.message
