import json

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save
from torch.utils.data import DataLoader

from gvr_core.cascade import nano_path
from gvr_core.checkpoints import load_part
from gvr_core.geometry import latent_space, plan_upscale
from gvr_core.references import fit_reference
from train.data.pair_groups import PairGroups
from train.fit_config import load_fit_config
from train.pairs import PairShards
from train.pairs.encoders import load_text, load_vae, vae_identity
from train.pairs.lossless_video import read_lossless
from train.pairs.reading import StageSamples


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory):
    """A UMT5 encoder of two layers with a tokenizer of a few words, in diffusers' layout."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    folder = tmp_path_factory.mktemp("wan")
    words = ["<pad>", "</s>", "<unk>", "a", "sliding", "texture"]
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder / "tokenizer")
    torch.manual_seed(0)
    config = UMT5Config(vocab_size=8, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4)
    UMT5EncoderModel(config).save_pretrained(folder / "text_encoder")
    return folder


@pytest.fixture
def run_all(make_config, prepare, degrade, encode):
    def run(*overrides):
        config = make_config("out", "cut.lengths=[5]", *overrides)
        return prepare(config), degrade(config), encode(config)

    return run


def test_latents_are_those_of_the_autoencoder(run_all):
    clips, degraded, encoded = run_all("encode.dtype=float32")
    vae = load_part(nano_path(), "vae")
    clean, low, samples = (
        StageSamples(stage.folder, command)
        for stage, command in ((clips, "prepare"), (degraded, "degrade"), (encoded, "encode"))
    )
    for k in range(len(samples)):
        latents = load(samples[k][1]["latent.safetensors"])
        assert set(latents) == {"clean", "plain", "flow", "synthetic", "both"}
        for name, data in (("clean", clean[k][1]["mp4"]), ("both", low[k][1]["both.mp4"])):
            video = torch.from_numpy(np.stack(list(read_lossless(data)))).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
            with torch.inference_mode():
                expected = vae.encode(video)[0]
            assert torch.allclose(latents[name], expected, atol=1e-4)
    assert samples[0][0]["latent_shape"] == [48, 2, 8, 12]
    assert samples[0][0]["low_latent_shape"] == [48, 2, 4, 6]


@pytest.mark.parametrize(("width", "height"), [(88, 56), (72, 40), (64, 64)])
def test_the_two_latents_lie_over_each_other_at_any_bucket(run_all, width, height):
    """As in inference: the grid of the clean latent is the one that enlarging the small video leads to."""
    bucket = f"cut.buckets=[[{width}, {height}]]"
    extras = ("cut.reference_video=true", "encode.references=1", "encode.enlarged=true", "encode.dtype=float32")
    clips, degraded, encoded = run_all(bucket, "degrade.variants=[plain]", *extras)
    vae, space = load_part(nano_path(), "vae"), latent_space("nano")
    plan = plan_upscale(space, height // 2, width // 2, scale=2)
    clean, low = StageSamples(clips.folder, "prepare"), StageSamples(degraded.folder, "degrade")
    samples = StageSamples(encoded.folder, "encode")
    for k in range(len(samples)):
        row, members = samples[k]
        latents = load(members["latent.safetensors"])
        assert list(latents["clean"].shape[-2:]) == [plan.latent_height, plan.latent_width]
        assert [2 * n for n in latents["plain"].shape[-2:]] == row["latent_shape"][-2:]
        for name, data, scale in (("clean", clean[k][1]["mp4"], 1), ("plain", low[k][1]["plain.mp4"], 2)):
            frames = np.stack(list(read_lossless(data)))
            missing = (plan.padded_height // scale - frames.shape[1], plan.padded_width // scale - frames.shape[2])
            padded = np.pad(frames, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
            video = torch.from_numpy(padded).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
            with torch.inference_mode():
                torch.testing.assert_close(latents[name], vae.encode(video)[0], atol=1e-4, rtol=0)
        grids = {tuple(v.shape[-2:]) for v in load(members.get("reference.safetensors", save({}))).values()}
        enlarged = load(members["plain.enlarged.safetensors"])["plain.enlarged"]
        assert grids | {tuple(enlarged.shape[-2:])} == {(plan.latent_height, plan.latent_width)}
    source = ("data.source=pairs", f"data.root={encoded.folder}", "data.frames=0", "data.tasks={t2v: 1}")
    crop = load_fit_config("tiny", [*source, "data.crop=32", "objective.vae="])
    batch = PairGroups(crop, PairShards(encoded.folder), route="latent", held_out=False)[0]
    assert batch["clean"].shape[-2:] == (4, 4)
    assert batch["low"].shape[-2:] == (2, 2)


def test_references_lie_in_the_middle_of_black_as_in_inference(run_all):
    extras = ("cut.reference_video=true", "encode.references=1", "encode.dtype=float32")
    clips, _, encoded = run_all("cut.buckets=[[88, 56]]", "degrade.variants=[plain]", *extras)
    vae, clean = load_part(nano_path(), "vae"), StageSamples(clips.folder, "prepare")
    stored = load(StageSamples(encoded.folder, "encode")[0][1]["reference.safetensors"])["video"]
    frames = np.stack(list(read_lossless(clean[0][1]["reference.mp4"])))
    canvas = fit_reference(torch.from_numpy(frames).permute(3, 0, 1, 2).float(), 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(stored, vae.encode(canvas[None] / 127.5 - 1)[0], atol=1e-4, rtol=0)


def test_pairs_are_found_by_their_number_alone(run_all):
    _, _, encoded = run_all()
    pairs = PairShards(encoded.folder)
    assert pairs.variants == ["plain", "flow", "synthetic", "both"]
    assert len(pairs) == 4 * len(pairs.samples)
    item = pairs[6]
    assert (item["variant"], item["key"]) == ("synthetic", pairs.samples[1][0]["key"])
    assert item["clean"].shape == (48, 2, 8, 12)
    assert item["degraded"].shape == (48, 2, 4, 6)
    assert item["clean"].dtype == torch.float32
    assert "text" not in item
    assert pairs.null_text is None
    backwards = [pairs[k]["degraded"] for k in reversed(range(len(pairs)))][::-1]
    assert all(torch.equal(a, pairs[k]["degraded"]) for k, a in enumerate(backwards))
    batch = next(iter(DataLoader(pairs, batch_size=3)))
    assert batch["degraded"].shape == (3, 48, 2, 4, 6)
    with pytest.raises(IndexError):
        pairs[len(pairs)]


def test_text_is_stored_without_padding_and_the_empty_prompt_beside(run_all, text_folder):
    from transformers import UMT5EncoderModel

    _, _, encoded = run_all(f"encode.text={text_folder}")
    pairs = PairShards(encoded.folder)
    item = next(pairs[k] for k in range(len(pairs)) if pairs[k]["caption"] == "a sliding texture")
    model = UMT5EncoderModel.from_pretrained(text_folder / "text_encoder", dtype=torch.bfloat16)
    with torch.inference_mode():
        tokens = torch.tensor([[3, 4, 5, 1, 0, 0]])
        padded = model(tokens, (tokens != 0).long()).last_hidden_state[0, :4].float()
    assert item["text"].shape == (4, 16)
    assert torch.allclose(item["text"], padded, atol=0.05)
    assert torch.equal(load_file(encoded.folder / "null_text.safetensors")["text"].float(), pairs.null_text)
    assert pairs.null_text.shape == (1, 16)


def test_an_autoencoder_of_diffusers_gives_its_own_latents(make_config, tmp_path):
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    vae = AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    vae.save_pretrained(tmp_path / "vae")
    encode = load_vae(make_config("out", f"encode.vae={tmp_path / 'vae'}").encode)
    assert encode.space.name == "wan21"
    frames = np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3), dtype=np.uint8)
    video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.inference_mode():
        expected = vae.eval().encode(video).latent_dist.mean[0]
    assert torch.allclose(encode(iter(frames), height=32, width=48), expected, atol=1e-5)
    assert expected.shape == (16, 2, 4, 6)


def test_what_is_not_there_is_told(make_config, tmp_path):
    with pytest.raises(ValueError, match="no such checkpoint"):
        vae_identity(str(tmp_path / "missing.safetensors"))
    with pytest.raises(ValueError, match="no folder of a diffusers autoencoder"):
        vae_identity(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL", "latent_channels": 4}))
    with pytest.raises(ValueError, match="AutoencoderKL with 4 latent channels, expected one of AutoencoderKLWan"):
        vae_identity(str(tmp_path))
    assert load_text(make_config().encode) is None


def test_degrading_anew_makes_old_latents_unwelcome(run_all, make_config, encode):
    _, degraded, _ = run_all()
    with pytest.raises(ValueError, match=r"dtype was \"bfloat16\" and is \"float32\""):
        encode(make_config("out", "cut.lengths=[5]", "encode.dtype=float32"))
    plan = json.loads((degraded.folder / "plan.json").read_text())
    plan["settings"]["source"] = "another"
    (degraded.folder / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ValueError, match="degrade again"):
        encode(make_config("out", "cut.lengths=[5]"))
