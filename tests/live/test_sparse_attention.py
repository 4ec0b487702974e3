"""Sparse Local Attention on the host's own Wan and HunyuanVideo models and on our cascade."""

import numpy as np
import pytest

from .comfy_server import ComfyError
from .graphs import Graph, measured

pytestmark = pytest.mark.live

# 3 latent frames of 16 x 24 cells: 8 x 12 tokens a frame, four windows of 4 x 6 in each.
SIZE = {"channels": 16, "frames": 3, "height": 16, "width": 24}
FRAME, FRAMES = 8 * 12, 3
KSAMPLER = {"seed": 1, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}


class Stock:
    """A graph with one of the host's own models and what its sampler needs.

    Attributes:
        graph: the graph.
        model: the loaded MODEL.
    """

    def __init__(self, install, kind):
        self.graph = Graph()
        loader = {"unet_name": install(kind), "weight_dtype": "default"}
        self.model = self.graph.add("UNETLoader", **loader)
        self.text = self.graph.text("a street", pooled=kind == "hunyuan")
        self.latent = self.graph.latent(**SIZE)

    def patched(self, model=None, **changes):
        settings = {"window_height": 4, "window_width": 6, "top_k": 1, "temporal_units": False, "start_percent": 0.0}
        settings |= {"end_percent": 1.0, "dense_blocks": "", "min_tokens": 0, **changes}
        return self.graph.add("GVRSparseAttention", model=model or self.model, **settings)

    def sampled(self, model, name):
        wires = {"model": model, "positive": self.text, "negative": self.text, "latent_image": self.latent}
        return self.graph.probe(self.graph.add("KSampler", **wires, **KSAMPLER), name=name)

    def run(self, server, **models):
        """The samples of each model, by name."""
        probes = {name: self.sampled(model, name) for name, model in models.items()}
        entry = server.run(self.graph.prompt)
        files = {name: measured(entry, probe, "/samples")["file"] for name, probe in probes.items()}
        return {name: np.load(server.base / "output" / file) for name, file in files.items()}


@pytest.mark.parametrize("kind", ["wan", "hunyuan"])
def test_all_windows_are_what_the_model_does_by_itself(server, install, kind):
    stock, before = Stock(install, kind), len(server.log())
    result = stock.run(
        server,
        plain=stock.model,
        every=stock.patched(top_k=1000),
        one=stock.patched(),
        dense=stock.patched(dense_blocks="0-99"),
        off=stock.patched(start_percent=0.99),
        short=stock.patched(min_tokens=10**6),
        again=stock.model,
    )
    scale = np.abs(result["plain"]).max()
    assert np.isfinite(result["plain"]).all()
    assert scale > 0.1
    for same in ("every", "dense"):
        np.testing.assert_allclose(result[same], result["plain"], rtol=0, atol=1e-4 * scale, err_msg=same)
    for untouched in ("off", "short", "again"):
        np.testing.assert_array_equal(result[untouched], result["plain"], err_msg=untouched)
    assert np.abs(result["one"] - result["plain"]).max() > 1e-3 * scale
    said = [line for line in server.log()[before:].splitlines() if "Sparse Local Attention:" in line]
    assert len(said) == 5, "one line for each run with the patch"
    assert sum("self-attention calls sparse" in line for line in said) == 2
    for reason in ("are fewer than min_tokens, 1000000", "as dense_blocks says", "between start_percent 0.99 and"):
        assert sum("attention stays dense, " in line and reason in line for line in said) == 1, reason


@pytest.mark.parametrize("units", [False, True])
@pytest.mark.parametrize(("kind", "blocks"), [("wan", 2), ("hunyuan", 2)])
def test_a_query_sees_its_window_and_one_other(server, install, kind, blocks, units):
    stock, key = Stock(install, kind), f"keys-{kind}-{units}"
    counted = stock.graph.add("GVRTestCountAttention", model=stock.model, key=key)
    stock.run(server, counted=stock.patched(counted, temporal_units=units))
    counts = server.get("/gvr_test/counts")[key]

    window, video = 4 * 6, FRAMES * FRAME
    # Text tokens are attended to in full; 512 of them come from the stub.
    text = 512 if kind == "hunyuan" else 0
    windows = KSAMPLER["steps"] * blocks * FRAMES * FRAME // window
    assert counts[f"{window}x{2 * window + text}"] == windows
    assert not any(name.startswith((f"{video}x{video}", f"{video + text}x{video + text}")) for name in counts)
    if kind == "hunyuan":
        assert counts[f"{text}x{video + text}"] == KSAMPLER["steps"] * blocks
    else:
        assert counts[f"{video}x512"] == KSAMPLER["steps"] * blocks


def test_two_patches_share_a_run(server, install):
    """One for the beginning, one for the end; the later connected one acts where both do."""
    stock = Stock(install, "wan")
    early, late = {"end_percent": 0.4}, {"start_percent": 0.4, "top_k": 1000}
    both = stock.patched(stock.patched(**early), **late)
    result = stock.run(
        server,
        plain=stock.model,
        early=stock.patched(**early),
        both=both,
        covered=stock.patched(stock.patched(), top_k=1000),
    )
    scale = np.abs(result["plain"]).max()
    np.testing.assert_allclose(result["both"], result["early"], rtol=0, atol=1e-4 * scale)
    np.testing.assert_allclose(result["covered"], result["plain"], rtol=0, atol=1e-4 * scale)
    assert np.abs(result["early"] - result["plain"]).max() > 1e-3 * scale


def test_references_that_a_model_adds_are_always_seen(server, install):
    """Phantom's pictures come behind the video; with temporal units only references stay visible to all of it."""
    stock = Stock(install, "wan")
    graph = stock.graph
    vae = graph.add("VAELoader", vae_name=install("wan_vae"))
    picture = graph.add("GVRTestImages", count=1, height=128, width=192, seed=0)
    size = {"width": 192, "height": 128, "length": 9, "batch_size": 1}
    wires = {"positive": stock.text, "negative": stock.text, "vae": vae, "images": picture}
    phantom = graph.add("WanPhantomSubjectToVideo", **wires, **size)
    stock.text = phantom
    key = "phantom-keys"
    counted = graph.add("GVRTestCountAttention", model=stock.model, key=key)
    result = stock.run(server, plain=stock.model, every=stock.patched(top_k=1000), one=stock.patched(counted))
    scale = np.abs(result["plain"]).max()
    np.testing.assert_allclose(result["every"], result["plain"], rtol=0, atol=1e-4 * scale)
    # Its own window, the best of the picture's, and one other.
    assert f"24x{3 * 24}" in server.get("/gvr_test/counts")[key]


def test_it_overrides_what_the_cascade_was_trained_with(server, install):
    graph = Graph()
    cascade = graph.load(install("wan_cascade"))
    text, latent = graph.text("a street"), graph.latent(channels=16, frames=3, height=8, width=12)
    up = graph.upsample(latent, cascade, positive=text, negative=text, noise_aug=0.3)
    settings = {"window_height": 4, "window_width": 6, "top_k": 1000, "temporal_units": False, "start_percent": 0.0}
    settings |= {"end_percent": 1.0, "min_tokens": 0}
    patched = graph.add("GVRSparseAttention", model=cascade, **settings, dense_blocks="")
    dense = graph.add("GVRSparseAttention", model=cascade, **settings, dense_blocks="0-1")
    steps = {"steps": 2, "s_txt": 0.0, "s_ref": 0.0, "n_ref": 0, "sampler_name": "euler"}
    names = {"built_in": cascade, "windows": patched, "full": dense}
    probes = {n: graph.probe(graph.sample(m, up[0], up[1], up[2], **steps), name=n) for n, m in names.items()}
    entry = server.run(graph.prompt)
    result = {n: np.load(server.base / "output" / measured(entry, p, "/samples")["file"]) for n, p in probes.items()}
    scale = np.abs(result["full"]).max()
    np.testing.assert_allclose(result["windows"], result["full"], rtol=0, atol=1e-4 * scale)
    assert np.abs(result["built_in"] - result["full"]).max() > 1e-3 * scale


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dense_blocks": "0, one"}, "dense_blocks has 'one', expected numbers and ranges with commas"),
        ({"dense_blocks": "9-3"}, "write 3-9"),
        ({"start_percent": 0.8, "end_percent": 0.2}, "start_percent 0.8 is after end_percent 0.2"),
    ],
)
def test_bad_settings_are_said(server, install, settings, message):
    stock = Stock(install, "wan")
    stock.sampled(stock.patched(**settings), "bad")
    with pytest.raises(ComfyError, match=message):
        server.run(stock.graph.prompt)
