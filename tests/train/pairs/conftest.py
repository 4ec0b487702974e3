"""A folder of tiny clips of every kind, and configs that make a whole pipeline take seconds."""

import json
import multiprocessing
import subprocess
import sys

import cv2
import numpy as np
import pytest

from gvr_core.video import VideoWriter
from train.pairs.cli import finish
from train.pairs.config import load_pairs_config
from train.pairs.degrade import DegradeShard, plan_degrade
from train.pairs.encode import EncodeShard, plan_encode
from train.pairs.engines import run_shards
from train.pairs.prepare import PrepareShard, plan_prepare

HEIGHT, WIDTH = 64, 96


def moving_texture(seed, frames, height=HEIGHT, width=WIDTH):
    """`t h w 3` uint8: a coloured texture that slides by (2, 1) pixels a frame."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4 + 8, 3), dtype=np.uint8)
    texture = cv2.resize(small, (width + 2 * frames, height + frames), interpolation=cv2.INTER_CUBIC)
    return np.stack([texture[k : k + height, 2 * k : 2 * k + width] for k in range(frames)])


def write_clip(path, frames):
    with VideoWriter(path, width=frames.shape[2], height=frames.shape[1], fps=8) as writer:
        writer.write(frames)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """Clips: good ones with captions and masks, a still one, a folder of pictures, and four that are left out."""
    root = tmp_path_factory.mktemp("clips")
    (root / "more").mkdir()
    write_clip(root / "a.mp4", moving_texture(0, 24))
    (root / "a.txt").write_text("a sliding texture\n", encoding="utf-8")
    write_clip(root / "more" / "b.mkv", moving_texture(1, 20))
    (root / "more" / "b.json").write_text(json.dumps({"caption": "ein gleitendes Muster, grün"}), encoding="utf-8")
    (root / "a.masks").mkdir()
    for number in range(24):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[:, : 2 * number] = 255
        cv2.imwrite(str(root / "a.masks" / f"{number:03d}.png"), mask)
    write_clip(root / "still.mp4", np.repeat(moving_texture(2, 1), 12, axis=0))
    (root / "pictures").mkdir()
    for number, frame in enumerate(moving_texture(3, 10)):
        cv2.imwrite(str(root / "pictures" / f"f_{number}.png"), frame)
    write_clip(root / "dark.mp4", moving_texture(4, 12) // 16)
    write_clip(root / "flat.mp4", np.full((12, HEIGHT, WIDTH, 3), 128, np.uint8))
    write_clip(root / "short.mp4", moving_texture(5, 3))
    whole = (root / "a.mp4").read_bytes()
    (root / "broken.mp4").write_bytes(whole[: len(whole) // 3])
    return root


@pytest.fixture(scope="session")
def wan_folder(tmp_path_factory):
    """A tiny random Wan text-to-video model in diffusers' layout."""
    import torch
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    path = tmp_path_factory.mktemp("wan")
    torch.manual_seed(0)
    WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=24, freq_dim=16, ffn_dim=32, num_layers=1
    ).save_pretrained(path / "transformer")
    AutoencoderKLWan(base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1).save_pretrained(path / "vae")
    text = UMT5Config(vocab_size=8, d_model=24, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    UMT5EncoderModel(text).save_pretrained(path / "text_encoder")
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "a": 2, "fox": 3, "</s>": 4}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    # As UMT5 does, so that an empty prompt is one token.
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 4)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>")
    tokenizer.save_pretrained(path / "tokenizer")
    (path / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    return path


@pytest.fixture
def make_config(root, tmp_path):
    """Function: the config of a pipeline into `tmp_path / name`, with overrides."""

    def make(name="out", *overrides):
        small = [
            f"root={root}",
            f"output={tmp_path / name}",
            "filter.short_side=64",
            "filter.quality=none",
            "cut.lengths=[5, 9]",
            f"cut.buckets=[[{WIDTH}, {HEIGHT}], [{HEIGHT}, {WIDTH}]]",
            "cut.most=2",
            "degrade.variants=[plain, flow, synthetic, both]",
        ]
        return load_pairs_config("pairs_nano", [*small, *overrides])

    return make


@pytest.fixture
def prepare():
    """Function: all shards of `prepare` for a config; the stage."""

    def run(config, part=0, parts=1):
        stage, clips = plan_prepare(config)
        work = PrepareShard(config, stage, clips)
        shards = [shard for shard in range(part, stage.shards, parts) if not stage.is_done(shard, work.inputs)]
        run_shards(work, shards, engine="local", workers=1, advance=lambda n: None)
        finish(stage)
        return stage

    return run


@pytest.fixture
def degrade():
    """Function: all shards of `degrade`; the stage."""

    def run(config, workers=1):
        stage, source = plan_degrade(config)
        work = DegradeShard(config, stage, source)
        run_shards(work, range(stage.shards), engine="local", workers=workers, advance=lambda n: None)
        finish(stage)
        return stage

    return run


@pytest.fixture
def encode():
    """Function: all shards of `encode`; the stage."""

    def run(config):
        stage, clips, degraded = plan_encode(config)
        work = EncodeShard(config.encode, stage, clips, degraded)
        run_shards(work, range(stage.shards), engine="local", workers=1, advance=lambda n: None)
        finish(stage)
        return stage

    return run


@pytest.fixture
def dead_process():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def race():
    """Function: `work(number, barrier)` in several processes at once; what each raised, or None."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("processes that begin at once are forked")
    context = multiprocessing.get_context("fork")

    def run(work, count=4):
        barrier, results = context.Barrier(count), context.SimpleQueue()

        def one(number):
            try:
                work(number, barrier)
                results.put(None)
            except BaseException as error:  # noqa: BLE001 - told by the parent
                results.put(f"{type(error).__name__}: {error}")

        processes = [context.Process(target=one, args=(number,)) for number in range(count)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
            process.kill()
        return [results.get() for _ in processes]

    return run


@pytest.fixture
def files():
    """Function: name -> bytes of every file in a folder, hidden ones too."""
    return lambda folder: {path.name: path.read_bytes() for path in folder.iterdir()}


def items(stage):
    return {item["clip"]: item for shard in range(stage.shards) for item in stage.read_manifest(shard)["items"]}


def folder_of(tmp_path, root, **clips):
    """A folder of copies: name -> clip of `root`."""
    folder = tmp_path / "clips"
    folder.mkdir(exist_ok=True)
    for name, clip in clips.items():
        (folder / f"{name}.mp4").write_bytes((root / clip).read_bytes())
    return folder
