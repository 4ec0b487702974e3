"""What training writes is what ComfyUI reads: whole cascades, LoRAs on their base, detail tables, the same video."""

import shutil

import pytest
import torch
import yaml
from safetensors.torch import save

from gvr_core.cascade import Cascade, denoise, nano_path, upsample
from gvr_core.checkpoints import Header, load_part, read_header, save_checkpoint
from gvr_core.coding import decode_frames
from gvr_core.geometry import plan_upscale
from gvr_core.latent_values import normalize
from gvr_core.schedules import DetailTable, make_sigmas
from gvr_core.wan_weights import config_of, open_wan
from train.export import export
from train.export.cascade_file import DETAIL_TABLE
from train.export.lora_files import export_base, export_lora
from train.fit_config import load_fit_config
from train.loop import fit
from train.pairs.cli import finish
from train.pairs.encode import NULL_TEXT
from train.pairs.stage import make_stage, to_json
from train.pairs.tar_shards import new_shard

from .graphs import NANO, measured

pytestmark = pytest.mark.live

SEED, STEPS, TEXT_DIM = 3, 4, 4096
TABLE = {"sigmas": [1.0, 0.8, 0.3, 0.0], "gains": [0.2, 0.5, 0.3]}
RUN = ["steps=2", "batch=2", "micro_batch=2", "save_every=2", "trackers=[]", "precision=float32"]


def write_pairs(folder):
    """A folder as `train encode` makes it, of random latents on Wan's shape, with text of UMT5's width."""
    stage = make_stage(folder, {"command": "encode"}, 1)
    random = torch.Generator().manual_seed(0)
    samples = []
    with new_shard(stage.tar(0)) as tar:
        for number in range(4):
            shapes = {"clean": (16, 2, 8, 8), "plain": (16, 2, 4, 4)}
            latents = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
            about = {
                "key": f"sample-{number}",
                "clip": f"{number}.mp4",
                "start": 0,
                "frames": 5,
                "fps": "8",
                "width": 64,
                "height": 64,
                "caption": "a cat",
                "luma": 0.0,
                "laplacian": 0.0,
                "quality": None,
                "low_width": 32,
                "low_height": 32,
                "motion": 0.0,
                "variants": ["plain"],
                "space": "wan21",
                "latent_shape": [16, 2, 8, 8],
                "low_latent_shape": [16, 2, 4, 4],
                "text_tokens": 5,
                "enlarged": False,
                "num_images": 0,
                "video_frames": 0,
                "has_mask": False,
                "has_source": False,
            }
            text = {"text": torch.randn(5, TEXT_DIM, generator=random)}
            members = {"json": to_json(about), "latent.safetensors": save(latents), "text.safetensors": save(text)}
            offset, size = tar.add(about["key"], members)
            samples.append({**about, "offset": offset, "size": size})
    (folder / NULL_TEXT).write_bytes(save({"text": torch.randn(1, TEXT_DIM, generator=random)}))
    stage.finish_shard(
        0, inputs="made by hand", samples=samples, items=[{"clip": "0.mp4", "key": "0", "status": "kept"}], pictures={}
    )
    finish(stage)


@pytest.fixture(scope="module")
def wan_run(tiny_models, tmp_path_factory):
    """A finished run with adapters, from random Wan weights on random pairs."""
    pytest.importorskip("peft", reason="adapters are peft's: install it")
    root = tmp_path_factory.mktemp("training")
    write_pairs(root / "encoded")
    base = config_of(open_wan(tiny_models.wan()).shapes)
    model = {**base.to_dict(), "condition_channels": 16, "noise_embedding": True, "spatial_attention": True}
    config = {
        "task": "cascade",
        "output": str(root / "run"),
        "seed": 0,
        "init_from": str(tiny_models.wan()),
        "trainable": "lora",
        "lora": {"rank": 4, "alpha": 8.0},
        "data": {"source": "pairs", "root": str(root / "encoded"), "frames": 5},
        "optim": {"learning_rate": 0.02, "warmup_steps": 0, "ema_decay": 0.5},
        "model": {**model, "upsampler": {"hidden": 8, "low_blocks": 1, "high_blocks": 1}},
        "objective": {"noise_aug": [0.1, 0.6]},
    }
    file = root / "run.yaml"
    file.write_text(yaml.safe_dump(config))
    return fit(load_fit_config(str(file), RUN)).parent


@pytest.fixture(scope="module")
def place(server):
    """Function: puts a file into a models folder of the server; returns its name there."""

    def place(path, kind="diffusion_models"):
        folder = server.base / "models" / kind
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.name)
        return path.name

    return place


def sampled(graph, model, cascade):
    """A short run: low-resolution latent, and the result."""
    low = graph.latent(height=6, width=8, std=1.5, seed=5)
    up = graph.upsample(low, cascade, positive=graph.text("a cat"), negative=graph.text(""), seed=SEED)
    settings = {"seed": SEED, "steps": STEPS, "sampler_name": "euler", "s_txt": 1.0, "s_ref": 0.0, "n_ref": 0}
    return low, graph.sample(model, up[0], up[1], up[2], **settings)


def test_a_lora_on_its_base_is_the_merged_cascade(server, graph, place, wan_run, tmp_path):
    files = {name: tmp_path / f"exported_{name}.safetensors" for name in ("merged", "base", "lora")}
    export(wan_run, files["merged"], dtype="float32")
    export_base(wan_run, files["base"], dtype="float32")
    export_lora(wan_run, files["lora"], dtype="float32")
    merged, base = (graph.load(place(files[name])) for name in ("merged", "base"))
    lora = {"lora_name": place(files["lora"], "loras"), "strength_model": 1.0}
    with_lora = graph.add("LoraLoaderModelOnly", model=base, **lora)
    probes = {
        name: graph.probe(sampled(graph, model, cascade)[1], name=f"lora_{name}")
        for name, model, cascade in (("merged", merged, merged), ("lora", with_lora, base), ("base", base, base))
    }

    entry = server.run(graph.prompt)

    results = {name: server.array(measured(entry, probe, "/samples")) for name, probe in probes.items()}
    assert results["merged"].std() > 0.1
    assert (results["merged"] - results["base"]).abs().max() > 1e-2
    assert (results["merged"] - results["lora"]).abs().max() < 1e-5
    assert "lora key not loaded" not in server.log()


def test_the_stock_loader_takes_an_exported_cascade(server, graph, place, wan_run, tmp_path):
    file = tmp_path / "exported_stock.safetensors"
    export(wan_run, file, dtype="bfloat16")
    model = graph.add("UNETLoader", unet_name=place(file), weight_dtype="default")
    wires = {
        "model": model,
        "positive": graph.text("a cat"),
        "negative": graph.text(""),
        "latent_image": graph.latent(),
    }
    settings = {"seed": 0, "steps": 2, "cfg": 2.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    result = graph.probe(graph.add("KSampler", **wires, **settings))

    entry = server.run(graph.prompt)

    found = measured(entry, result, "/samples")
    assert found["shape"] == [1, 16, 2, 8, 8]
    assert 0.01 < found["std"] < 100


def test_a_measured_table_becomes_the_schedule(server, graph, place, wan_run, tmp_path):
    import json

    (wan_run / DETAIL_TABLE).write_text(json.dumps(TABLE))
    file = tmp_path / "exported_table.safetensors"
    export(wan_run, file)
    sigmas = graph.add("GVRDetailAwareSigmas", model=graph.load(place(file)), steps=10, start=1.0)
    schedule = graph.probe(sigmas, name="exported_table")

    levels = server.array(measured(server.run(graph.prompt), schedule))

    torch.testing.assert_close(levels.float(), make_sigmas(10, table=DetailTable.from_dict(TABLE)), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def nano_export(tmp_path_factory):
    """A run on Nano's latents, exported together with Nano's autoencoder and upsampler."""
    root = tmp_path_factory.mktemp("nano_run")
    run = fit(load_fit_config("tiny", [*RUN, f"output={root / 'run'}", f"data.cache={root / 'cache'}"])).parent
    parts = {name: load_part(nano_path(), name) for name in ("vae", "upsampler")}
    about = read_header(nano_path()).parts
    others = root / "others.safetensors"
    save_checkpoint(
        others, parts, Header(space="nano", parts={name: about[name] for name in parts}), dtype=torch.float32
    )
    file = root / "exported_nano.safetensors"
    export(run, file, dtype="float32", include=[others])
    return file


def test_comfyui_and_the_core_give_the_same_video(server, graph, place, nano_export):
    loaded = graph.load(place(nano_export))
    low = graph.latent(channels=48, frames=2, height=8, width=8, seed=7)
    given = graph.probe(low, name="export_low")
    result = graph.nano(low, loaded, seed=SEED, sampler={"seed": SEED, "steps": STEPS, "shift": 1.0})
    video = graph.probe(graph.decode(result, loaded[1]), name="export_video")

    entry = server.run(graph.prompt)

    cascade = Cascade.load(nano_export)
    latent = server.array(measured(entry, given, "/samples"))
    plan = plan_upscale(cascade.space, 64, 64, scale=2.0)
    settings = cascade.settings(seed=SEED, num_steps=STEPS, solver=NANO["sampler_name"], s_txt=0.0, s_ref=0.0, n_ref=0)
    upsampled = upsample(normalize(latent, "nano"), plan, upsampler=cascade.upsampler)
    expected = denoise(cascade.dit, upsampled, settings)
    frames = decode_frames(cascade.vae, expected, frames=5, height=128, width=128)
    outside = torch.cat([torch.from_numpy(piece) for piece in frames]).float() / 255
    inside = server.array(measured(entry, video)).float()
    assert inside.shape == outside.shape == (5, 128, 128, 3)
    assert outside.std() > 0.05
    # The core's video is rounded to 8 bits, ComfyUI's is not.
    assert (inside - outside).abs().max() < 0.51 / 255 + 1e-3
