"""CLIP-I and DINO-I: do the frames show what the ID reference pictures show (U 4.1.2)."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .metric import Figure, Missing, Sample, spread

PREPROCESSING = "preprocessor_config.json"
_BILINEAR = 2
"""Pillow's number for it in `resample`; everything else is read as bicubic."""


class Likeness:
    """Mean cosine similarity of frames and references, in [-1, 1], as the `measure` of a metric.

        1 / (T R)  sum over frames t, references r of  f(x_t) . f(y_r) / (|f(x_t)| |f(y_r)|)

    CLIP-I: f is CLIP's projected image embedding. DINO-I: f is the class token of the last layer (Ruiz et al.,
    "DreamBooth", 2023, with ViT-S/16). Pictures are resized, cropped and normalised as the model's own
    `preprocessor_config.json` says.

    Args:
        kind: "clip" or "dino".
        folder: a model in the format of transformers, with `preprocessor_config.json`; None: always `Missing`.
        frames: how many frames of a clip are judged at most, 0 for all.
    """

    def __init__(self, kind: str, folder: Path | None, *, frames: int) -> None:
        self.kind, self.folder, self.frames = kind, folder, frames
        self._model: tuple[nn.Module, dict[str, Any]] | Missing | None = None

    def __call__(self, sample: Sample) -> Figure:
        if not sample.references:
            return Missing("there are no ID reference pictures: give --reference PICTURE")
        if self._model is None:
            self._model = self._load()
        if isinstance(self._model, Missing):
            return self._model
        frames = self._embed([sample.clip[i] for i in spread(sample.clip, self.frames)])
        references = self._embed(list(sample.references))
        return float((frames @ references.T).mean())

    def _load(self) -> tuple[nn.Module, dict[str, Any]] | Missing:
        name = {"clip": "CLIP (such as openai/clip-vit-base-patch32)", "dino": "DINO (such as facebook/dino-vits16)"}
        if self.folder is None:
            return Missing(f"no model: download {name[self.kind]} and give --{self.kind} FOLDER")
        if importlib.util.find_spec("transformers") is None:
            return Missing("transformers is not installed: pip install transformers")
        try:
            settings = json.loads((self.folder / PREPROCESSING).read_text(encoding="utf-8"))
            import transformers

            kind = transformers.CLIPVisionModelWithProjection if self.kind == "clip" else transformers.AutoModel
            model = kind.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            return Missing(f"{self.folder} is not a {self.kind.upper()} model of transformers: {error}".splitlines()[0])
        return model.eval().float(), settings

    @torch.inference_mode()
    def _embed(self, pictures: list[np.ndarray]) -> Tensor:
        """Pictures `h w 3` -> unit vectors `n d`."""
        model, settings = self._model
        vectors = []
        for picture in pictures:
            output = model(pixel_values=prepare(picture, settings))
            vectors.append(output.image_embeds if self.kind == "clip" else output.last_hidden_state[:, 0])
        return F.normalize(torch.cat(vectors).float(), dim=-1)


def prepare(picture: np.ndarray, settings: dict[str, Any]) -> Tensor:
    """What a vision model gets: `1 3 h w` float32, normalised.

    Args:
        picture: `h w 3`, uint8 or floating point in [0, 1].
        settings: the model's `preprocessor_config.json`: size (a shortest edge, or height and width), crop_size,
            resample, image_mean, image_std.
    """
    pixels = rearrange(torch.tensor(picture), "h w c -> 1 c h w")
    pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
    size, crop = settings.get("size", 224), settings.get("crop_size", 224)
    if isinstance(size, dict) and "height" in size:
        target = (size["height"], size["width"])
    elif isinstance(size, int) and not settings.get("do_center_crop", False):
        target = (size, size)
    else:
        edge = size["shortest_edge"] if isinstance(size, dict) else size
        scale = edge / min(pixels.shape[-2:])
        target = tuple(max(edge, round(n * scale)) for n in pixels.shape[-2:])
    mode = "bilinear" if settings.get("resample", 3) == _BILINEAR else "bicubic"
    pixels = F.interpolate(pixels, size=target, mode=mode, antialias=True).clamp(0, 1)
    if settings.get("do_center_crop", False):
        height, width = (crop["height"], crop["width"]) if isinstance(crop, dict) else (crop, crop)
        top, left = (target[0] - height) // 2, (target[1] - width) // 2
        pixels = pixels[..., top : top + height, left : left + width]
    mean, std = (torch.tensor(settings[key]).view(1, 3, 1, 1) for key in ("image_mean", "image_std"))
    return (pixels - mean) / std
