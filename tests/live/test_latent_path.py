"""Nothing is encoded or decoded between the source's latent and the final decode; what that is worth is printed."""

import pytest

from .comfy_server import messages, seconds
from .graphs import Graph

pytestmark = pytest.mark.live

CLIP = {"width": 160, "height": 96, "frames": 25, "seed": 0}


def cascade(upsampler, seed, key):
    """Clip -> encode -> cascade -> decode with the VAE's calls noted; graph and the ids of the nodes at work."""
    graph = Graph()
    clip = graph.add("GVRSampleClip", **CLIP)
    loaded = graph.load()
    vae = graph.add("GVRTestCountVAE", vae=loaded[1], key=key)
    encoded = graph.encode(clip, vae)
    up = graph.upsample(encoded, loaded, vae=vae if upsampler == "pixel" else None, upsampler=upsampler, seed=seed)
    settings = {"steps": 3, "sampler_name": "euler", "shift": 0.3, "s_txt": 0.0, "s_ref": 0.0, "n_ref": 0}
    decoded = graph.decode(graph.sample(loaded, up[0], up[1], up[2], seed=seed, **settings), vae)
    graph.probe(decoded)
    return graph, {encoded.id: "encode", up.id: "upsample", decoded.id: "decode"}


@pytest.mark.parametrize(
    ("upsampler", "expected"),
    [
        ("latent", [("encode", "encode"), ("decode", "decode")]),
        # The gauge is not blind: the other route does code on the way.
        ("pixel", [("encode", "encode"), ("upsample", "decode"), ("upsample", "encode"), ("decode", "decode")]),
    ],
)
def test_vae_calls(server, upsampler, expected):
    key = f"vae-calls-{upsampler}"
    graph, roles = cascade(upsampler, seed=0, key=key)
    server.run(graph.prompt)

    calls = server.get("/gvr_test/counts")[key]

    assert [(roles[call["node"]], call["call"]) for call in calls] == expected


def test_time_of_both_paths(server, capsys):
    def measure(upsampler):
        """Shortest of three runs from the upsampler to the pixels, in seconds; the first warms up and is left out."""
        times = []
        for seed in range(4):
            graph, roles = cascade(upsampler, seed, key="timing")
            entry = server.run(graph.prompt)
            cached = {node for message in messages(entry, "execution_cached") for node in message["nodes"]}
            # What comes before the upsampler is the host's to remember, the rest has really run.
            assert seed == 0 or [roles[node] for node in roles if node in cached] == ["encode"]
            times.append(seconds(entry))
        return min(times[1:])

    latent, pixel = measure("latent"), measure("pixel")

    assert 0 < latent < 60
    assert 0 < pixel < 60
    with capsys.disabled():
        size = f"{CLIP['frames']} frames of {CLIP['width']} x {CLIP['height']} doubled"
        text = f"pixel path {pixel:.2f} s / latent path {latent:.2f} s = {pixel / latent:.2f}"
        print(f"\nComfyUI {server.host.version}, nano, {size}: {text}")  # noqa: T201  the measurement is the point
