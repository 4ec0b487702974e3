"""As many frames out as in, and every row and column, through the whole graph."""

import pytest

from .graphs import measured

pytestmark = pytest.mark.live

STEP = {"steps": 1}


def enlarge(graph, images, loaded):
    encoded = graph.encode(images, loaded[1])
    return graph.probe(graph.decode(graph.nano(encoded, loaded, sampler=STEP), loaded[1]))


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 6, 17, 33, 100])
def test_every_frame_comes_out(server, graph, frames):
    loaded = graph.load()
    images = graph.add("GVRTestImages", count=frames, height=32, width=32, seed=0)
    result = enlarge(graph, images, loaded)

    assert measured(server.run(graph.prompt), result)["shape"] == [frames, 64, 64, 3]


@pytest.mark.parametrize(("height", "width"), [(32, 40), (33, 47), (16, 90), (8, 8), (5, 3)])
def test_every_row_and_column_comes_out(server, graph, height, width):
    loaded = graph.load()
    images = graph.add("GVRTestImages", count=2, height=height, width=width, seed=0)
    result = enlarge(graph, images, loaded)

    assert measured(server.run(graph.prompt), result)["shape"] == [2, 2 * height, 2 * width, 3]


def test_tiled_decoding_cuts_the_same(server, graph):
    loaded = graph.load()
    images = graph.add("GVRTestImages", count=18, height=72, width=100, seed=0)
    latent = graph.encode(images, loaded[1])
    tiles = {"tile_size": 64, "overlap": 32, "temporal_size": 8, "temporal_overlap": 4}
    whole = graph.probe(graph.decode(latent, loaded[1]))
    tiled = graph.probe(graph.add("GVRDecodeVideo", samples=latent, vae=loaded[1], **tiles))

    entry = server.run(graph.prompt)

    assert measured(entry, tiled)["shape"] == measured(entry, whole)["shape"] == [18, 72, 100, 3]
    assert measured(entry, tiled)["mean"] == pytest.approx(measured(entry, whole)["mean"], abs=0.02)


@pytest.mark.parametrize("model", ["wan_vae", "hunyuan_vae"])
@pytest.mark.parametrize("frames", [1, 2, 6])
def test_the_hosts_vaes_lose_nothing_either(server, graph, install, model, frames):
    vae = graph.add("VAELoader", vae_name=install(model))
    images = graph.add("GVRTestImages", count=frames, height=36, width=41, seed=0)
    result = graph.probe(graph.decode(graph.encode(images, vae), vae))

    assert measured(server.run(graph.prompt), result)["shape"] == [frames, 36, 41, 3]
