"""What users know from other models works on the cascade: the host's own sampler, shift, previews, tiles, dtypes."""

import itertools

import pytest
import torch
from einops import rearrange

from gvr_core.cascade import nano_path
from gvr_core.checkpoints import load_part

from .graphs import NANO, measured

pytestmark = pytest.mark.live


@pytest.fixture
def clip(graph):
    return graph.add("GVRSampleClip", width=96, height=64, frames=9, seed=0)


def test_ksampler_and_shift(server, graph, clip):
    loaded = graph.load()
    up = graph.upsample(graph.encode(clip, loaded[1]), loaded)
    settings = {"seed": 0, "steps": 4, "cfg": 1.0, "sampler_name": "dpmpp_2m", "scheduler": "beta", "denoise": 1.0}
    wires = {"positive": up[0], "negative": up[1], "latent_image": up[2]}
    shifted = graph.add("ModelSamplingSD3", model=loaded, shift=3.0)
    own = graph.add("KSampler", model=loaded, **wires, **settings)
    other = graph.add("KSampler", model=shifted, **wires, **settings)
    # The latent still knows the size of its video behind the host's sampler.
    shape = graph.probe(graph.decode(own, loaded[1]))
    probes = [graph.probe(node, name=f"ksampler_{index}") for index, node in enumerate((own, other))]

    entry = server.run(graph.prompt)

    assert measured(entry, shape)["shape"] == [9, 128, 192, 3]
    first, second = (server.array(measured(entry, probe, "/samples")) for probe in probes)
    assert torch.isfinite(first).all()
    assert 1e-3 < (first - second).abs().mean() < 1


def test_pndm_and_detail_aware_sigmas(server, graph, install):
    text = graph.text("a cat")
    loaded = graph.load(install("wan_cascade"))
    up = graph.upsample(graph.latent(), loaded, positive=text, negative=text)
    sigmas = graph.add("GVRDetailAwareSigmas", model=loaded, steps=10, start=1.0)
    guider = graph.add("CFGGuider", model=loaded, positive=up[0], negative=up[1], cfg=1.0)
    wires = {"noise": graph.add("RandomNoise", noise_seed=0), "guider": guider, "sigmas": sigmas}
    wires["sampler"] = graph.add("GVRPNDMSampler")
    sampled = graph.add("SamplerCustomAdvanced", latent_image=up[2], **wires)
    schedule, result = graph.probe(sigmas, name="detail_sigmas"), graph.probe(sampled)

    entry = server.run(graph.prompt)

    # A tenth of the table's gain lies above 0.8, so that is where the first of ten steps ends.
    levels = server.array(measured(entry, schedule)).tolist()
    assert (len(levels), levels[0], levels[-1]) == (11, 1.0, 0.0)
    assert levels[1] == pytest.approx(0.8, abs=1e-6)
    assert measured(entry, result, "/samples")["std"] > 0.1


def test_partial_sigmas_refine_with_an_ordinary_model(server, graph, install):
    text = graph.text("a cat")
    model = graph.add("UNETLoader", unet_name=install("wan"), weight_dtype="default")
    up = graph.upsample(graph.latent(), None, positive=text, negative=text)
    sigmas = graph.add("GVRPartialSigmas", model=model, scheduler="simple", steps=5, alpha=0.35)
    guider = graph.add("CFGGuider", model=model, positive=up[0], negative=up[1], cfg=2.0)
    wires = {"noise": graph.add("RandomNoise", noise_seed=0), "guider": guider, "sigmas": sigmas}
    wires["sampler"] = graph.add("KSamplerSelect", sampler_name="euler")
    sampled = graph.add("SamplerCustomAdvanced", latent_image=up[3], **wires)
    schedule, result = graph.probe(sigmas, name="partial_sigmas"), graph.probe(sampled)

    entry = server.run(graph.prompt)

    levels = server.array(measured(entry, schedule)).tolist()
    assert (len(levels), levels[-1]) == (6, 0.0)
    assert levels[0] == pytest.approx(0.35, abs=1e-6)
    assert sorted(levels, reverse=True) == levels
    assert measured(entry, result, "/samples")["shape"] == [1, 16, 2, 16, 16]


@pytest.mark.parametrize(
    ("scheduler", "steps", "alpha"),
    [("ddim_uniform", 20, 0.9), ("ddim_uniform", 2, 1.0), ("beta", 4, 0.35), ("karras", 30, 0.05), ("simple", 1, 1.0)],
)
def test_partial_sigmas_start_where_they_are_told(server, graph, scheduler, steps, alpha):
    sigmas = graph.add("GVRPartialSigmas", model=graph.load(), scheduler=scheduler, steps=steps, alpha=alpha)
    schedule = graph.probe(sigmas, name="exact_sigmas")

    levels = server.array(measured(server.run(graph.prompt), schedule)).tolist()

    assert (len(levels), levels[-1]) == (steps + 1, 0.0)
    assert levels[0] == pytest.approx(alpha, abs=1e-6)
    assert all(high > low for high, low in itertools.pairwise(levels))


@torch.inference_mode()
def test_the_hosts_vae_nodes_take_the_bundled_vae(server, graph, clip):
    loaded = graph.load()
    latent = graph.add("VAEEncode", pixels=clip, vae=loaded[1])
    tiles = {"tile_size": 64, "overlap": 32, "temporal_size": 8, "temporal_overlap": 4}
    decoded = graph.add("VAEDecode", samples=latent, vae=loaded[1])
    tiled = graph.add("VAEDecodeTiled", samples=latent, vae=loaded[1], **tiles)
    nodes = {"clip": clip, "latent": latent, "decoded": decoded, "tiled": tiled}
    probes = {name: graph.probe(node, name=f"vae_{name}") for name, node in nodes.items()}

    entry = server.run(graph.prompt)

    found = {
        name: server.array(measured(entry, p, "/samples" if name == "latent" else "")) for name, p in probes.items()
    }
    vae = load_part(nano_path(), "vae")
    video = rearrange(found["clip"], "t h w c -> 1 c t h w") * 2 - 1
    expected = torch.cat(list(vae.encode_stream([video[:, :, :1], video[:, :, 1:]])), dim=2)
    assert (found["latent"] - expected).abs().max() < 1e-4
    expected = torch.cat(list(vae.decode_stream(expected, chunk=3)), dim=2)
    expected = rearrange((expected + 1) / 2, "1 c t h w -> t h w c").clamp(0, 1)
    assert (found["decoded"] - expected).abs().max() < 1e-4
    assert found["tiled"].shape == expected.shape
    assert (found["tiled"] - expected).abs().mean() < 0.02


def test_previews_look_like_the_video(server, graph, clip):
    loaded = graph.load()
    preview = graph.add("GVRTestPreview", model=loaded, samples=graph.encode(clip, loaded[1]))
    seen, shown = graph.probe(clip, name="preview_clip"), graph.probe(preview, name="preview")

    entry = server.run(graph.prompt)

    small = torch.nn.functional.avg_pool2d(server.array(measured(entry, seen))[0].movedim(-1, 0), 8).flatten()
    picture = server.array(measured(entry, shown))[0].movedim(-1, 0).flatten()
    assert torch.corrcoef(torch.stack([small, picture]))[0, 1] > 0.9


@pytest.mark.parametrize("dtype", ["default", "bf16", "fp16", "fp8_e4m3fn", "fp8_e5m2"])
def test_weight_dtypes(server, graph, clip, dtype):
    # One loader for the latent, so that only the sampled one differs.
    exact = graph.load()
    latent = graph.encode(clip, exact[1])
    probes = [
        graph.probe(graph.nano(latent, model), name=f"dtype_{index}")
        for index, model in enumerate((exact, graph.load(weight_dtype=dtype)))
    ]

    entry = server.run(graph.prompt)

    expected, result = (server.array(measured(entry, probe, "/samples")) for probe in probes)
    assert (expected - result).abs().mean() < 0.1 * expected.std()


def test_the_settings_of_nano_are_those_of_its_checkpoint(server, graph, clip):
    loaded = graph.load()
    encoded = graph.encode(clip, loaded[1])
    own = graph.probe(graph.nano(encoded, loaded), name="own_explicit")
    silent = graph.probe(graph.nano(encoded, loaded, sampler={**NANO, "shift": 0.0}), name="own_silent")

    entry = server.run(graph.prompt)

    first, second = (server.array(measured(entry, probe, "/samples")) for probe in (own, silent))
    assert torch.equal(first, second)
