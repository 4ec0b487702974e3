"""What the cost line is drawn from: sizes that a run really has, and estimates once there has been one."""

import json

import pytest

from gvr_core.sample_clip import render_sample_clip
from gvr_core.video import VideoWriter

from .comfy_server import messages
from .graphs import measured

pytestmark = pytest.mark.live

NANO = "nano (bundled)"
SAMPLER = {"kind": "multi", "steps": 3, "sampler_name": "euler", "s_txt": 0.0, "s_ref": 0.0, "n_ref": 0}
CLIP = {"frames": 77, "height": 540, "width": 960}


def ask(server, **question):
    defaults = {"checkpoint": NANO, "source": CLIP, "target": "1080", "scale": 2.0, "sampler": SAMPLER}
    return server.post("/gvr/cost", {**defaults, **question})


def test_sizes_and_tokens(server):
    told = ask(server)
    assert told["output"] == {"frames": 77, "height": 1080, "width": 1920}
    assert told["grid"] == [20, 68, 120]
    assert told["tokens"] == 163_200
    assert (told["evaluations"], told["steps"]) == (3, 3)
    assert [form["form"] for form in told["forms"]] == ["full", "units", "sparse"]
    # nano has sparse local attention of its own.
    assert [form["form"] for form in told["forms"] if form["used"]] == ["sparse"]


@pytest.mark.parametrize(("target", "scale"), [("scale", 2.0), ("scale", 1.3), ("720", 2.0)])
def test_the_size_is_that_of_the_run(server, graph, target, scale):
    loaded = graph.load()
    images = graph.add("GVRSampleClip", width=120, height=72, frames=6, seed=0)
    up = graph.upsample(graph.encode(images, loaded[1]), loaded, target=target, scale=scale)
    probe = graph.probe(up[2])

    told = ask(server, source={"frames": 6, "height": 72, "width": 120}, target=target, scale=scale)
    entry = server.run(graph.prompt)

    _, _, t, h, w = measured(entry, probe, "/samples")["shape"]
    assert told["grid"] == [t, h // 2, w // 2]
    size = measured(entry, probe, "/gvr_size/height")["value"], measured(entry, probe, "/gvr_size/width")["value"]
    assert (told["output"]["height"], told["output"]["width"]) == size
    # The node says what came in, for graphs that do not tell it.
    assert entry["outputs"][up.id]["gvr_source"] == [{"frames": 6, "height": 72, "width": 120}]
    assert messages(entry, "execution_success")


def test_two_stages(server):
    told = ask(server, before=[{"target": "scale", "scale": 2.0}], target="2160")
    assert told["source"] == {"frames": 77, "height": 1080, "width": 1920}
    assert told["output"]["height"] == 2160


def test_references_and_guidance(server, install):
    checkpoint = install("wan_cascade")
    sampler = {"kind": "multi", "steps": 50, "s_txt": 3.0, "s_ref": 1.0, "n_ref": 15, "sampler_name": "pndm"}
    told = ask(server, checkpoint=checkpoint, references={"images": 3, "video_frames": 0}, sampler=sampler)
    assert told["references"] == 3
    assert told["tokens"] == 23 * 68 * 120
    assert told["evaluations"] == 115
    assert told["stretches"] == [[15, 3], [35, 2]]
    plain = ask(
        server, checkpoint=checkpoint, sampler={"kind": "cfg", "steps": 20, "cfg": 6.0, "sampler_name": "euler"}
    )
    assert plain["stretches"] == [[20, 2]]


def test_sparse_attention_of_a_node(server):
    attention = {"window_height": 9, "window_width": 12, "top_k": 8, "temporal_units": True, "dense_blocks": "0-1"}
    attention |= {"start_percent": 0.0, "end_percent": 1.0, "min_tokens": 4096}
    flops = [ask(server, attention=each)["forms"][2]["flops"] for each in (None, {**attention, "top_k": 64}, attention)]
    assert flops[1] > flops[2] > flops[0]
    small = {"frames": 5, "height": 64, "width": 64}
    told = ask(server, attention=attention, source=small, target="scale")
    assert any("min_tokens" in text for text in told["assumed"])


def test_without_a_cascade_the_size_alone_is_told(server):
    told = ask(server, checkpoint=None)
    assert told["output"]["height"] == 1080
    assert told["forms"] is None


def test_a_video_that_will_not_fit(server):
    told = ask(server, source={"frames": 20000, "height": 1080, "width": 1920}, target="2160", tile_size=0)
    assert told["fits"] is False
    assert told["warnings"][0].startswith("Will not fit: sampling needs about")
    assert told["suggestions"]


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ({"source": None}, "not known"),
        ({"source": {"frames": 0, "height": 8, "width": 8}}, "frames is 0"),
        ({"source": {"frames": 5, "height": 2000, "width": 2000}}, "smaller than the input"),
        ({"source": 5}, "source is a int"),
        ({"target": "999"}, "target is '999'"),
        ({"scale": 1e9, "target": "scale"}, "scale is 1e+09"),
        ({"checkpoint": "gone.safetensors"}, "no file gone.safetensors"),
        ({"checkpoint": "../../etc/passwd"}, "no file"),
        ({"sampler": {"kind": "multi"}}, "steps is None"),
        ({"before": [1]}, "before"),
        ({"weight_dtype": "int3"}, "weight_dtype"),
    ],
)
def test_nonsense_gets_a_sentence(server, question, text):
    assert text in ask(server, **question)["problem"]


def test_a_body_that_is_no_object_gets_a_sentence(server):
    assert "expected an object" in server.post("/gvr/cost", [1, 2])["problem"]
    assert json.loads(server.request("/gvr/cost", b"{"))["problem"]


def test_sizes_of_input_videos(server, tmp_path):
    path = tmp_path / "cost_route.mp4"
    with VideoWriter(path, width=64, height=48, fps=24) as writer:
        for frame in render_sample_clip(frames=7, height=48, width=64, seed=0):
            writer.write(frame[None])
    name = server.upload(path)
    assert server.get(f"/gvr/video?file={name}") == {"frames": 7, "height": 48, "width": 64}
    for wrong in ("gone.mp4", "../server.log", ""):
        assert "problem" in server.get(f"/gvr/video?file={wrong}")


def test_the_first_run_calibrates(start_server, graph):
    with start_server() as server:
        before = ask(server)
        assert before["calibrated"] is False
        assert {form["seconds"] for form in before["forms"]} == {None}
        loaded = graph.load()
        graph.probe(graph.nano(graph.latent(channels=48, frames=3), loaded, sampler={"steps": 4}))
        server.run(graph.prompt)
        after = ask(server)
        assert (after["calibrated"], after["runs"]) == (True, 1)
        full, _, sparse = after["forms"]
        assert full["seconds"] > sparse["seconds"] > 0
        assert (full["rough"], sparse["rough"]) == (True, False)
        path = server.base / "user" / "gvr" / "calibration.json"
        entry = json.loads(path.read_text())["entries"][0]
        assert entry["dim"] == 384
        # A broken file is not used, told in the log, and replaced by the next run.
        path.write_text("{")
        assert ask(server)["calibrated"] is False
        assert "is not used" in server.log()
        graph.probe(graph.nano(graph.latent(channels=48, frames=3, seed=1), loaded, sampler={"steps": 2}))
        server.run(graph.prompt)
        assert ask(server)["calibrated"] is True
