"""Targets in pixels and odd factors, up to the file that the host writes."""

import pytest

from .graphs import measured
from .test_workflows import read_video

pytestmark = pytest.mark.live

# A square of 16 cells of 8 pixels: its shorter side becomes exactly what was asked for.
CELLS, TARGETS = 16, ("720", "1080", "1440", "2160")


@pytest.mark.parametrize("target", TARGETS)
def test_target_is_the_shorter_side(server, graph, target):
    low = graph.latent(channels=48, frames=1, height=CELLS, width=CELLS + 2)
    up = graph.upsample(low, graph.load(), target=target)
    result = graph.probe(up[2])

    entry = server.run(graph.prompt)

    side, wide = int(target), 2 * round(int(target) * (CELLS + 2) / CELLS / 2)
    noted = {name: measured(entry, result, f"/gvr_size/{name}")["value"] for name in ("frames", "height", "width")}
    assert noted == {"frames": 1, "height": side, "width": wide}
    # Whole tokens of 16 pixels.
    cells = [2 * -(-pixels // 16) for pixels in (side, wide)]
    assert measured(entry, result, "/samples")["shape"] == [1, 48, 1, *cells]


def test_a_target_is_sampled_and_decoded(server, graph):
    loaded = graph.load()
    low = graph.latent(channels=48, frames=1, height=CELLS, width=CELLS)
    frames = graph.probe(graph.decode(graph.nano(low, loaded, target="720", sampler={"steps": 1}), loaded[1]))

    assert measured(server.run(graph.prompt), frames)["shape"] == [1, 720, 720, 3]


@pytest.mark.parametrize(("scale", "size"), [(1.3, (124, 72)), (1.35, (130, 76))])
def test_any_factor_makes_a_video_file(server, graph, scale, size):
    loaded = graph.load()
    clip = graph.add("GVRSampleClip", width=96, height=56, frames=2, seed=0)
    enlarged = graph.nano(graph.encode(clip, loaded[1]), loaded, scale=scale, sampler={"steps": 1})
    video = graph.add("CreateVideo", images=graph.decode(enlarged, loaded[1]), fps=24.0)
    graph.add("SaveVideo", video=video, filename_prefix="any_factor", format="auto", codec="auto")

    frames, _, _ = read_video(server, server.run(graph.prompt))

    assert frames.shape[:3] == (2, size[1], size[0])


def test_odd_sides_at_the_same_size_are_told(server, graph):
    loaded = graph.load()
    clip = graph.add("GVRTestImages", count=1, height=41, width=48, seed=0)
    up = graph.upsample(graph.encode(clip, loaded[1]), loaded, scale=1.0)
    result = graph.probe(up[2])
    before = len(server.log())

    entry = server.run(graph.prompt)

    assert measured(entry, result, "/gvr_size/height")["value"] == 41
    assert "48 x 41 pixels, and most video files take even sides only" in server.log()[before:]
