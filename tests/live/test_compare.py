"""Compare Videos through the API: the files it writes, what it says of them, its refusals and its caching."""

from pathlib import Path

import av
import numpy as np
import pytest

from gvr_core.video import VideoReader, VideoWriter

from .comfy_server import ComfyError, messages

pytestmark = pytest.mark.live


def compare(graph, a, b, **changes):
    """The node with its defaults."""
    settings = {"fps": 24.0, "label_a": "before", "label_b": "after", **changes}
    return graph.add("GVRCompareVideo", a=a, b=b, **settings)


def images(graph, count=5, width=64, height=48, seed=0):
    """Frames of one random colour each."""
    return graph.add("GVRTestImages", count=count, width=width, height=height, seed=seed)


def video(server, graph, name, count=6, width=80, height=60, fps=12):
    """A VIDEO loaded from a file whose frame i is grey of level 20 i."""
    path = server.base / "input" / name
    with VideoWriter(path, width=width, height=height, fps=fps, crf=1) as writer:
        for index in range(count):
            writer.write(np.full((1, height, width, 3), 20 * index, np.uint8))
    return graph.add("LoadVideo", file=name)


def result_of(entry, node):
    """What the page would get."""
    return entry["outputs"][node.id]["gvr_compare"][0]


def path_of(server, described):
    return server.base / "temp" / described["subfolder"] / described["filename"]


def frames_of(server, described):
    """`t h w c` of a written file."""
    with VideoReader(path_of(server, described)) as reader:
        return np.stack(list(reader))


def test_both_clips_are_written_frame_by_frame(server, graph):
    a, b = images(graph, 5, 64, 48), images(graph, 5, 160, 120, seed=1)
    probes = graph.probe(a, name="compare_a"), graph.probe(b, name="compare_b")
    node = compare(graph, a, b, fps=23.976, label_a="low", label_b="high")

    entry = server.run(graph.prompt)

    result = result_of(entry, node)
    assert (result["frames"], result["labels"], result["notes"]) == (5, ["low", "high"], [])
    assert result["fps"] == pytest.approx(23.976)
    for key, size, probe in (("a", [64, 48], probes[0]), ("b", [160, 120], probes[1])):
        assert result[key]["size"] == result[key]["coded"] == result[key]["source"] == size
        found = frames_of(server, result[key])
        assert found.shape == (5, size[1], size[0], 3)
        wanted = server.array({"file": f"compare_{key}.npy"}).numpy() * 255
        assert probe.id in entry["outputs"]
        # Flat colours: what is left is the rounding of 8 bits of BT.709 in its narrow range.
        assert np.abs(found - wanted).max() < 3


def test_the_file_is_what_browsers_seek_exactly(server, graph):
    node = compare(graph, images(graph, 30), images(graph, 30, 128, 96))
    described = result_of(server.run(graph.prompt), node)["b"]

    with av.open(str(path_of(server, described))) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        times = [float(packet.pts * packet.time_base) for packet in packets]
        keys = [index for index, packet in enumerate(packets) if packet.is_keyframe]

    assert (stream.codec.canonical_name, stream.pix_fmt) == ("h264", "yuv420p")
    assert (stream.color_primaries, stream.color_trc, stream.colorspace) == (1, 1, 1)
    assert times == pytest.approx([index / 24 for index in range(30)], abs=1e-4)  # in order: no frame needs a later one
    assert keys == [0, 12, 24]


def test_odd_sides_lose_no_pixel(server, graph):
    node = compare(graph, images(graph, 2, 65, 33), images(graph, 2, 131, 67))
    result = result_of(server.run(graph.prompt), node)

    assert (result["a"]["size"], result["a"]["coded"]) == ([65, 33], [66, 34])
    assert (result["b"]["size"], result["b"]["coded"]) == ([131, 67], [132, 68])
    assert frames_of(server, result["a"]).shape == (2, 34, 66, 3)


@pytest.mark.parametrize("side", [1, 2, 15])
def test_tiny_pictures(server, graph, side):
    node = compare(graph, images(graph, 2, side, side), images(graph, 2))
    described = result_of(server.run(graph.prompt), node)["a"]
    assert described["size"] == [side, side]
    assert len(frames_of(server, described)) == 2


def test_a_side_beyond_the_limit_is_scaled_down_and_said(server, graph):
    wide = graph.add("ImageScale", image=images(graph, 2), upscale_method="area", width=5000, height=100, crop="center")
    node = compare(graph, images(graph, 2, 100, 2), wide)
    result = result_of(server.run(graph.prompt), node)

    assert (result["b"]["size"], result["b"]["source"]) == ([4096, 82], [5000, 100])
    assert result["notes"] == ["b is shown at 4096 × 82 instead of 5000 × 100."]


def test_different_shapes_are_said(server, graph):
    node = compare(graph, images(graph, 2, 64, 48), images(graph, 2, 64, 64))
    assert "different shapes" in result_of(server.run(graph.prompt), node)["notes"][0]


def test_a_video_brings_its_own_rate(server, graph):
    loaded = video(server, graph, "twelve.mp4")
    node = compare(graph, images(graph, 6), loaded, fps=30.0)
    result = result_of(server.run(graph.prompt), node)

    assert (result["frames"], result["fps"]) == (6, 12)
    assert result["b"]["size"] == [80, 60]
    levels = frames_of(server, result["b"]).mean((1, 2, 3))
    assert levels == pytest.approx([0, 20, 40, 60, 80, 100], abs=3)


def test_two_videos_and_one_made_of_images(server, graph):
    loaded = video(server, graph, "slow.mp4", fps=8)
    made = graph.add("CreateVideo", images=images(graph, 6), fps=16.0)
    node = compare(graph, loaded, made)
    result = result_of(server.run(graph.prompt), node)

    assert (result["frames"], result["fps"]) == (6, 8)
    assert result["notes"] == ["b is played at a's 8 frames per second instead of its own 16."]


def test_a_cut_video(server, graph):
    if "Video Slice" not in server.object_info():
        pytest.skip("this host cannot cut videos")
    loaded = video(server, graph, "long.mp4", count=12, fps=12)
    settings = {"start_time": 0.25, "duration": 0.5, "strict_duration": False}
    cut = graph.add("Video Slice", video=loaded, **settings)
    node = compare(graph, cut, images(graph, 6))
    result = result_of(server.run(graph.prompt), node)

    levels = frames_of(server, result["a"]).mean((1, 2, 3))
    assert levels == pytest.approx([60, 80, 100, 120, 140, 160], abs=3)


@pytest.mark.parametrize("kind", ["images", "videos", "longer b"])
def test_different_numbers_of_frames(server, graph, kind):
    if kind == "images":
        pair, said = (images(graph, 5), images(graph, 4)), "a has 5 frames and b has 4"
    elif kind == "videos":
        pair = video(server, graph, "five.mp4", count=5), video(server, graph, "four.mp4", count=4)
        said = "a has 5 frames and b has 4"
    else:
        pair, said = (images(graph, 3), video(server, graph, "seven.mp4", count=7)), "a has 3 frames and b has 7"
    before = set((server.base / "temp").rglob("*.mp4"))
    compare(graph, *pair)

    with pytest.raises(ComfyError, match=said):
        server.run(graph.prompt)
    assert set((server.base / "temp").rglob("*.mp4")) == before  # nothing is left of it


def test_something_else_is_refused_by_the_host(server, graph):
    compare(graph, graph.latent(), images(graph, 2))
    with pytest.raises(ComfyError, match="LATENT"):
        server.run(graph.prompt)


def test_the_same_prompt_again_computes_nothing(server, graph):
    node = compare(graph, images(graph, 3), images(graph, 3, seed=1))
    first = server.run(graph.prompt)
    again = server.run(graph.prompt)

    assert node.id in messages(again, "execution_cached")[0]["nodes"]
    assert result_of(again, node) == result_of(first, node)  # with the files it names
    assert path_of(server, result_of(again, node)["a"]).is_file()


def test_another_input_writes_other_files(server, graph):
    node = compare(graph, images(graph, 3), images(graph, 3, seed=1))
    first = result_of(server.run(graph.prompt), node)
    graph.prompt[node.id]["inputs"]["fps"] = 25.0
    second = result_of(server.run(graph.prompt), node)

    names = [described["filename"] for result in (first, second) for described in (result["a"], result["b"])]
    assert len(set(names)) == 4
    assert all(Path(name).suffix == ".mp4" for name in names)


def test_a_small_and_a_large_clip_have_the_same_colours(server, graph):
    small = images(graph, 4, 64, 48)
    large = graph.add("ImageScale", image=small, upscale_method="bicubic", width=1280, height=960, crop="disabled")
    node = compare(graph, small, large)
    result = result_of(server.run(graph.prompt), node)

    means = [frames_of(server, result[key]).mean((1, 2)) for key in ("a", "b")]
    assert np.abs(means[0] - means[1]).max() < 1
