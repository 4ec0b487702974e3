"""The shipped workflows: the host offers them as templates, both formats are one graph, and each of them runs.

The quickstart runs as it is. The others run with tiny random checkpoints under the names of the real files, small sizes
and few steps, and without text encoders.
"""

import copy
import io
import json
import math
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from gvr_core.sample_clip import render_sample_clip

from .comfy_server import ROOT

pytestmark = pytest.mark.live

FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
QUICKSTART = "quickstart_nano"

# The files that the workflows name, and what stands in for them: models folder, tiny model.
FILES = {
    "wan2.1_t2v_1.3B_fp16.safetensors": ("diffusion_models", "wan"),
    "wan2.1_t2v_14B_fp8_scaled.safetensors": ("diffusion_models", "wan"),
    "hunyuan_video_t2v_720p_bf16.safetensors": ("diffusion_models", "hunyuan"),
    "wan_2.1_vae.safetensors": ("vae", "wan_vae"),
    "hunyuan_video_vae_bf16.safetensors": ("vae", "hunyuan_vae"),
    "gvr_wan21_1.3b.safetensors": ("gvr", "wan_cascade"),
}
TEXT_LOADERS = ("CLIPLoader", "DualCLIPLoader")
SMALL = {
    "EmptyHunyuanLatentVideo": {"width": 64, "height": 48, "length": 5},
    "ImageScale": {"width": 64, "height": 48},
    "KSampler": {"steps": 3},
    "BasicScheduler": {"steps": 5},
    "GVRPartialSigmas": {"steps": 3},
    "GVRMultiCFGSampler": {"steps": 5},
    "GVRLatentCascadeUpsample": {"target": "scale"},
}
N_REF = 2
PICTURES = {"reference_1.png": (40, 30), "reference_2.png": (300, 200), "reference_3.png": (128, 96)}
TONE = 440.0
CLIP = {"frames": 7, "width": 80, "height": 48, "rate": Fraction(12)}
# What comes out: frames, width, height, frames per second, sound.
EXPECTED = {
    "quickstart_nano": (25, 768, 448, 24, False),
    "video_nano": (7, 160, 96, 12, True),
    "wan_480p_to_1080p": (5, 128, 96, 16, False),
    "hunyuan_to_1080p_pixel_bridge": (5, 128, 96, 24, False),
    "multi_id_references": (5, 128, 96, 16, False),
    "reference_video_edit": (7, 128, 96, 12, True),
    "training_free_1080p": (5, 128, 96, 16, False),
    "wan_to_4k": (5, 128, 96, 16, False),
}


@pytest.fixture(scope="module")
def empty_server(start_server):
    """A server with empty models and input folders."""
    with start_server() as server:
        yield server


@pytest.fixture(scope="module")
def stocked_server(empty_server, tiny_models, tmp_path_factory):
    """The same server with all files that the workflows name."""
    for name, (folder, model) in FILES.items():
        (empty_server.base / "models" / folder).mkdir(exist_ok=True)
        (empty_server.base / "models" / folder / name).symlink_to(getattr(tiny_models, model)())
    folder = tmp_path_factory.mktemp("references")
    for name, (width, height) in PICTURES.items():
        cv2.imwrite(str(folder / name), moving_square(1, height, width)[0])
        empty_server.upload(folder / name)
    for name in ("reference_video.mp4", "video.mp4"):
        write_clip(folder / name, **CLIP)
        empty_server.upload(folder / name)
    return empty_server


def test_each_is_expected():
    assert sorted(EXPECTED) == NAMES


def test_templates_are_offered(empty_server):
    offered = empty_server.get("/workflow_templates")

    assert sorted(offered["ComfyUI-GVR"]) == NAMES
    for name in NAMES:
        for suffix in (".json", ".jpg"):
            served = empty_server.request(f"/api/workflow_templates/ComfyUI-GVR/{name}{suffix}")
            assert served == (FOLDER / f"{name}{suffix}").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_both_formats_are_one_graph(empty_server, name):
    info = empty_server.object_info()

    converted = to_prompt(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")), info)

    assert converted == read_prompt(name)
    for node in converted.values():
        for given, value in node["inputs"].items():
            if isinstance(value, list):
                source = info[converted[value[0]]["class_type"]]
                assert source["output"][value[1]] in inputs_of(info[node["class_type"]])[given][0].split(",")


def test_quickstart_runs_from_empty_folders(empty_server):
    assert not [path for folder in ("models", "input") for path in (empty_server.base / folder).rglob("*.*")]

    frames, rate, sound = read_video(empty_server, empty_server.run(read_prompt(QUICKSTART), timeout=300))

    assert described(frames, rate, sound) == EXPECTED[QUICKSTART]
    clip = np.stack(list(render_sample_clip(frames=25, height=224, width=384, seed=0))).astype(float)
    halved = frames.reshape(25, 224, 2, 384, 2, 3).mean(axis=(2, 4))
    assert psnr(halved, clip) > 20


def test_quickstart_takes_a_video_of_ones_own(empty_server, tmp_path):
    """As its note says: frames, rate and sound of the file come out again."""
    write_clip(tmp_path / "own.mp4", frames=10, width=64, height=40, rate=Fraction(25))
    prompt = read_prompt(QUICKSTART)
    clip = node_of(prompt, "GVRSampleClip")
    prompt["load"] = {"class_type": "LoadVideo", "inputs": {"file": empty_server.upload(tmp_path / "own.mp4")}}
    prompt["parts"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["load", 0]}}
    prompt[node_of(prompt, "GVREncodeVideo")]["inputs"]["images"] = ["parts", 0]
    prompt[node_of(prompt, "CreateVideo")]["inputs"] |= {"audio": ["parts", 1], "fps": ["parts", 2]}
    del prompt[clip]

    frames, rate, sound = read_video(empty_server, empty_server.run(prompt))

    assert described(frames, rate, sound) == (10, 128, 80, 25, True)
    assert sound["tone"] == pytest.approx(TONE, rel=0.03)
    assert sound["seconds"] == pytest.approx(10 / 25, abs=0.1)


@pytest.mark.parametrize("name", [name for name in NAMES if name != QUICKSTART])
def test_workflow_runs(stocked_server, name):
    entry = stocked_server.run(reduced(read_prompt(name)), timeout=300)

    frames, rate, sound = read_video(stocked_server, entry)
    assert described(frames, rate, sound) == EXPECTED[name]
    assert frames.std() > 1, "a picture, not one colour"


def read_prompt(name):
    """The API file of a workflow without the nodes' titles."""
    prompt = json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))
    return {key: {"class_type": node["class_type"], "inputs": node["inputs"]} for key, node in prompt.items()}


def node_of(prompt, class_type):
    """Id of the only node of a class."""
    (key,) = (key for key, node in prompt.items() if node["class_type"] == class_type)
    return key


def inputs_of(schema):
    """Name -> specification of a node's inputs, in the order of the schema."""
    groups = schema["input"].items()
    return {name: spec for group, inputs in groups if group != "hidden" for name, spec in inputs.items()}


def to_prompt(workflow, info):
    """The API format of a graph in UI format, made as the frontend does it: widget values go by their order alone."""
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in ("Note", "MarkdownNote"):
            continue
        linked = {slot["name"]: sources[slot["link"]] for slot in node["inputs"] if slot.get("link") is not None}
        values, inputs = iter(node["widgets_values"]), {}
        for name, spec in inputs_of(info[node["type"]]).items():
            options = spec[1] if len(spec) > 1 else {}
            if isinstance(spec[0], list) or spec[0] in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"):
                inputs[name] = next(values)
                # Widgets that the frontend adds: what happens to a seed after the run, and the upload button.
                if options.get("control_after_generate", name in ("seed", "noise_seed")):
                    assert next(values) in ("fixed", "randomize")
                if options.get("image_upload") or options.get("video_upload"):
                    assert next(values) == "image"
            if name in linked:
                inputs[name] = linked.pop(name)
        assert not linked
        assert not list(values)
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def reduced(prompt):
    """The same graph for tiny models: small, few steps, texts encoded by a stand-in."""
    prompt = copy.deepcopy(prompt)
    loaders = {key: node["class_type"] for key, node in prompt.items() if node["class_type"] in TEXT_LOADERS}
    for node in prompt.values():
        inputs = node["inputs"]
        inputs.update(SMALL.get(node["class_type"], {}))
        if "n_ref" in inputs:
            inputs["n_ref"] = min(inputs["n_ref"], N_REF)
        if node["class_type"] == "CLIPTextEncode":
            pooled = loaders[inputs["clip"][0]] == "DualCLIPLoader"
            node["class_type"] = "GVRTestTextEncode"
            node["inputs"] = {"text": inputs["text"], "tokens": 16, "pooled": pooled}
    return {key: node for key, node in prompt.items() if key not in loaders}


def moving_square(frames, height, width):
    """A light square that moves over a coloured ramp, `t h w c` uint8."""
    y, x = np.mgrid[:height, :width]
    ramp = np.stack([255 * x / width, 255 * y / height, np.full(x.shape, 90.0)], axis=-1)
    video = np.repeat(ramp[None], frames, axis=0).astype(np.uint8)
    for t in range(frames):
        video[t, height // 4 : height // 2, 2 * t : 2 * t + width // 4] = 255
    return video


def write_clip(path, *, frames, width, height, rate):
    """An mp4 of `frames` frames with a tone of `TONE` Hz."""
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("h264", rate=rate), container.add_stream("aac", rate=16000, layout="mono")
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for picture in moving_square(frames, height, width):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        times = np.arange(math.ceil(16000 * frames / rate)) / 16000
        wave = 0.5 * np.sin(2 * np.pi * TONE * times)
        sound = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        sound.sample_rate, sound.pts = 16000, 0
        container.mux(audio.encode(sound))
        container.mux(audio.encode())


def read_video(server, entry):
    """Frames `t h w c`, their rate and the sound (`tone` in Hz, `seconds`) of the video that a prompt has saved."""
    (saved,) = (file for output in entry["outputs"].values() for file in output.get("images", []))
    content = server.view(saved["filename"], saved["subfolder"], saved["type"])
    with av.open(io.BytesIO(content)) as container:
        rate = container.streams.video[0].average_rate
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    with av.open(io.BytesIO(content)) as container:
        if not container.streams.audio:
            return frames, rate, None
        samples = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        wave, sampling = np.concatenate(samples), container.streams.audio[0].rate
    tone = np.abs(np.fft.rfft(wave)).argmax() * sampling / len(wave)
    return frames, rate, {"tone": tone, "seconds": len(wave) / sampling}


def described(frames, rate, sound):
    """A video as `EXPECTED` gives it."""
    count, height, width, _ = frames.shape
    return count, width, height, rate, sound is not None


def psnr(a, b):
    """Peak signal-to-noise ratio of 8-bit pictures, dB."""
    return 10 * np.log10(255**2 / np.mean((a - b) ** 2))
