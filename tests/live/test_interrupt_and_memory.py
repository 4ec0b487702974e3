"""A server that is used for a long time: the stop button, memory, and the host's cache."""

import time

import pytest

from .comfy_server import PromptInterrupted, messages
from .graphs import Graph, measured

pytestmark = pytest.mark.live

WAIT = 0.5


def clip_to_latent(seed, frames=17):
    """Clip -> encode -> cascade; the graph and its nodes by name."""
    graph = Graph()
    nodes = {"clip": graph.add("GVRSampleClip", width=96, height=64, frames=frames, seed=0), "loaded": graph.load()}
    nodes["encoded"] = graph.encode(nodes["clip"], nodes["loaded"][1])
    nodes["upsampled"] = up = graph.upsample(nodes["encoded"], nodes["loaded"])
    settings = {"steps": 2, "sampler_name": "euler", "shift": 0.3, "s_txt": 0.0, "s_ref": 0.0, "n_ref": 0}
    nodes["sampled"] = graph.sample(nodes["loaded"], up[0], up[1], up[2], seed=seed, **settings)
    nodes["decoded"] = graph.decode(nodes["sampled"], nodes["loaded"][1])
    nodes["probe"] = graph.probe(nodes["decoded"])
    return graph, nodes


def started(server, key):
    """When each evaluation of the slow model has begun."""
    return server.get("/gvr_test/counts").get(key, {"started": []})["started"]


@pytest.mark.parametrize("sampler", ["euler", "pndm"])
def test_interrupt_stops_within_one_model_call(server, graph, sampler):
    key = f"interrupt-{sampler}"
    loaded = graph.load()
    slow = graph.add("GVRTestCountModel", model=loaded, key=key, wait=WAIT)
    up = graph.upsample(graph.latent(channels=48), loaded)
    settings = {"steps": 20, "sampler_name": sampler, "s_txt": 0.0, "s_ref": 0.0, "n_ref": 0}
    graph.probe(graph.sample(slow, up[0], up[1], up[2], **settings))
    prompt_id = server.queue(graph.prompt)
    until = time.monotonic() + 60
    while len(started(server, key)) < 2:
        assert time.monotonic() < until, server.log_tail()
        time.sleep(0.05)

    server.interrupt()
    interrupted = time.time()
    with pytest.raises(PromptInterrupted):
        server.wait(prompt_id)

    assert not [moment for moment in started(server, key) if moment > interrupted]
    graph, nodes = clip_to_latent(seed=0, frames=2)
    assert measured(server.run(graph.prompt), nodes["probe"])["shape"] == [2, 128, 192, 3]


def test_twenty_prompts_use_the_memory_of_three(start_server):
    # Freed tensors go back to the system at once: measured is memory in use, not how far glibc's heap has grown.
    with start_server(MALLOC_MMAP_THRESHOLD_="65536") as server:
        if server.rss() is None:
            pytest.skip("this system does not tell how much memory a process uses")
        for seed in range(3):
            server.run(clip_to_latent(seed)[0].prompt)
        after_3 = server.rss()
        waiting = [server.queue(clip_to_latent(seed)[0].prompt) for seed in range(3, 20)]
        for prompt_id in waiting:
            entry = server.wait(prompt_id)
        after_20 = server.rss()

    assert entry["status"]["completed"]
    assert abs(after_20 - after_3) < 0.05 * after_3, f"{after_3 / 2**20:.0f} MB -> {after_20 / 2**20:.0f} MB"


def test_what_comes_before_the_change_is_cached(server):
    server.run(clip_to_latent(seed=100)[0].prompt)
    graph, nodes = clip_to_latent(seed=101)

    entry = server.run(graph.prompt)

    cached = {node for message in messages(entry, "execution_cached") for node in message["nodes"]}
    names = {name for name, node in nodes.items() if node.id in cached}
    assert names == {"clip", "loaded", "encoded", "upsampled"}
