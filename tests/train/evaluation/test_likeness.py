"""CLIP-I and DINO-I with tiny random models, against transformers and Pillow used directly."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, ViTConfig, ViTModel

from train.evaluation.likeness import Likeness, prepare
from train.evaluation.metric import Sample

CLIP_SETTINGS = {
    "size": {"shortest_edge": 32},
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
}
DINO_SETTINGS = {"size": 32, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 2}
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a tiny CLIP and a tiny DINO."""
    torch.manual_seed(0)
    clip, dino = tmp_path_factory.mktemp("clip"), tmp_path_factory.mktemp("dino")
    CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES, patch_size=8, projection_dim=16)).save_pretrained(clip)
    ViTModel(ViTConfig(**SIZES, patch_size=8)).save_pretrained(dino)
    (clip / "preprocessor_config.json").write_text(json.dumps(CLIP_SETTINGS))
    (dino / "preprocessor_config.json").write_text(json.dumps(DINO_SETTINGS))
    return {"clip": clip, "dino": dino}


def smooth(seed, height, width):
    """A picture of soft spots, uint8 `height width 3`."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def pillow(picture, settings):
    """The preprocessing with Pillow."""
    height, width = picture.shape[:2]
    crop = settings.get("do_center_crop", False)
    scale = 32 / min(height, width)
    size = (round(width * scale), round(height * scale)) if crop else (32, 32)
    image = Image.fromarray(picture).resize(size, Image.Resampling(settings["resample"]))
    left, top = (size[0] - 32) // 2, (size[1] - 32) // 2
    pixels = np.asarray(image.crop((left, top, left + 32, top + 32))) / 255
    pixels = (pixels - settings["image_mean"]) / settings["image_std"]
    return torch.from_numpy(pixels).float().permute(2, 0, 1)[None]


@pytest.mark.parametrize("settings", [CLIP_SETTINGS, DINO_SETTINGS])
@pytest.mark.parametrize("size", [(96, 128), (128, 96), (20, 26)])
def test_preprocessing_agrees_with_pillow(settings, size):
    picture = smooth(3, *size)
    # Pillow rounds to bytes after each direction, which a bicubic kernel can enlarge; 0.22 is the least deviation.
    assert (prepare(picture, settings) - pillow(picture, settings)).abs().max() < 2 / 255 / 0.22


@pytest.mark.parametrize("kind", ["clip", "dino"])
def test_it_is_the_mean_cosine(kind, models):
    clip = np.stack([smooth(seed, 48, 64) for seed in range(3)])
    references = [smooth(7, 64, 40), smooth(8, 33, 77)]
    figure = Likeness(kind, models[kind], frames=0)(Sample(clip=clip, references=references))

    settings = CLIP_SETTINGS if kind == "clip" else DINO_SETTINGS
    network = (CLIPVisionModelWithProjection if kind == "clip" else ViTModel).from_pretrained(models[kind]).eval()

    def embed(picture):
        with torch.no_grad():
            output = network(pixel_values=pillow(picture, settings))
        return output.image_embeds[0] if kind == "clip" else output.last_hidden_state[0, 0]

    cosines = [torch.cosine_similarity(embed(x), embed(y), dim=0) for x in clip for y in references]
    assert figure == pytest.approx(float(torch.stack(cosines).mean()), abs=5e-3)


@pytest.mark.parametrize("kind", ["clip", "dino"])
def test_a_clip_of_its_reference_is_1(kind, models):
    picture = smooth(1, 48, 64)
    figure = Likeness(kind, models[kind], frames=2)(Sample(clip=np.stack([picture] * 5), references=[picture]))
    assert figure == pytest.approx(1, abs=1e-5)


def test_what_is_missing_is_said(tmp_path):
    clip = np.zeros((2, 8, 8, 3), np.uint8)
    assert "--reference" in Likeness("clip", tmp_path, frames=0)(Sample(clip=clip)).reason
    sample = Sample(clip=clip, references=[clip[0]])
    assert "give --dino FOLDER" in Likeness("dino", None, frames=0)(sample).reason
    assert "is not a CLIP model" in Likeness("clip", tmp_path, frames=0)(sample).reason
