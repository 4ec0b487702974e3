"""Public Wan text-to-video weights as the start of a cascade: same tensors, patch embedding grown with zeros.

What the base model does not have (condition channels, noise embedding, per-frame attention) keeps its initial value,
which is zero at the output: before training the cascade equals the base model exactly. Names may be Wan's own, with
ComfyUI's prefix, or diffusers'; numbers may be of any type, fp8 with scales included. Tensors are read one by one, so
that nothing but the model itself is in memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .attention import AttentionConfig
from .models.dit import DiT, grow_patch_embedding
from .models.dit_config import DiTConfig
from .references import ReferenceRanges
from .wan_diffusers_names import is_diffusers, wan_name

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.", "transformer.", "")
NEW_PARTS = ("noise_embedding.", ".spatial_attn.")
"""Parts of names that a base model does not have."""
SCALES = (".scale_weight", ".weight_scale")
"""Endings of the factors that ComfyUI stores beside 8-bit weights."""
NO_WEIGHTS = (*SCALES, ".scale_input", ".input_scale", ".comfy_quant")
HEAD_DIM = 128
"""Channels of an attention head in every public Wan model; shapes alone do not tell."""
SPACES = {16: "wan21", 48: "wan22"}
"""Latent channels -> latent space."""


@dataclass(frozen=True)
class WanWeights:
    """A Wan transformer on disk. Made by `open_wan`.

    Attributes:
        path: as given.
        shapes: Wan's bare name -> shape of every tensor.
        places: the same -> (file, name in it).
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    places: Mapping[str, tuple[Path, str]]

    def read(self, name: str) -> Tensor:
        """One tensor in float32.

        Raises:
            ValueError: it is stored in a form that cannot be trained from.
        """
        file, key = self.places[name]
        with _open(file) as tensors:
            tensor = tensors.get_tensor(key).to(torch.float32)
        for ending in SCALES:
            scale = self.places.get(name.removesuffix(".weight") + ending)
            if scale is not None and name.endswith(".weight"):
                with _open(scale[0]) as tensors:
                    factor = tensors.get_tensor(scale[1])
                if factor.numel() != 1 or factor.element_size() == 1:
                    raise ValueError(
                        f"{file} stores {key} in blocks with a factor each: take the bf16, fp16 or fp8 release"
                    )
                tensor *= factor.to(torch.float32)
        return tensor


def shards(path: Path) -> list[Path]:
    """The files of a checkpoint: one `.safetensors`, those of an `.index.json`, or all in a folder.

    A folder may be that of a whole diffusers model; its `transformer` is meant.

    Raises:
        ValueError: nothing there.
    """
    if path.is_dir():
        if (path / "transformer").is_dir():
            return shards(path / "transformer")
        indexes = sorted(path.glob("*.safetensors.index.json"))
        return shards(indexes[0]) if indexes else _existing(sorted(path.glob("*.safetensors")), path)
    if path.name.endswith(".index.json") and path.is_file():
        try:
            names = json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not an index of weights ({error}): get it again") from error
        return _existing([path.parent / name for name in sorted(set(names))], path)
    return _existing([path], path)


def open_wan(path: Path | str) -> WanWeights:
    """The tensors of a Wan checkpoint under Wan's bare names; none of them is read yet.

    Raises:
        ValueError: no files, not readable, or no Wan transformer inside.
    """
    found: dict[str, tuple[Path, str, tuple[int, ...]]] = {}
    for file in shards(Path(path)):
        with _open(file) as tensors:
            found.update({key: (file, key, tuple(tensors.get_slice(key).get_shape())) for key in tensors.keys()})  # noqa: SIM118  safe_open is no mapping
    prefix = next((p for p in PREFIXES if f"{p}patch_embedding.weight" in found), None)
    named = {} if prefix is None else {k[len(prefix) :]: v for k, v in found.items() if k.startswith(prefix)}
    if is_diffusers(set(named)):
        named = {wan_name(name) or name: place for name, place in named.items()}
    if "head.head.weight" not in named:
        raise ValueError(
            f"{path} holds no Wan transformer: expected patch_embedding.weight and head.head.weight (or proj_out.weight"
            ", as diffusers calls it)"
        )
    shapes = {name: shape for name, (_, _, shape) in named.items() if not name.endswith(NO_WEIGHTS)}
    shapes.pop("scaled_fp8", None)  # ComfyUI's mark of a file with scales
    return WanWeights(Path(path), shapes, {name: (file, key) for name, (file, key, _) in named.items()})


def config_of(shapes: Mapping[str, tuple[int, ...]]) -> DiTConfig:
    """The config of the plain text-to-video model whose tensors have these shapes, under Wan's bare names.

    Raises:
        ValueError: they are those of another kind of model.
    """
    sizes = _sizes(shapes)
    if sizes["dim"] % HEAD_DIM:
        raise ValueError(f"the weights are {sizes['dim']} wide, expected a multiple of {HEAD_DIM}: are they Wan's?")
    return DiTConfig(
        **sizes,
        condition_channels=0,
        num_heads=sizes["dim"] // HEAD_DIM,
        eps=1e-6,
        spatial_attention=False,
        noise_embedding=False,
        attention=AttentionConfig(),
        reference_ranges=ReferenceRanges(),
        residual_std=None,
    )


@torch.no_grad()
def initialize_from_wan(dit: DiT, path: Path | str) -> list[str]:
    """Load Wan T2V weights into a DiT that has been given its initial weights.

    Args:
        dit: of the base model's sizes; its config may add condition channels, noise embedding and per-frame attention.
        path: safetensors file, index or folder, see `shards`.

    Returns:
        Names of the tensors that kept their initial value.

    Raises:
        ValueError: as `open_wan`; or the weights are of another size or kind, the difference is told.
    """
    weights = open_wan(path)
    check_sizes(dit.config, weights)
    own = dit.state_dict()
    new = [name for name in own if any(part in name for part in NEW_PARTS)]
    missing = sorted(set(own) - set(weights.shapes) - set(new))
    unknown = sorted(set(weights.shapes) - set(own))
    if missing or unknown:
        images = any("img" in name or "image" in name for name in unknown)
        raise ValueError(
            f"{path} does not fit this model: {len(missing)} tensors missing ({', '.join(missing[:3])}), "
            f"{len(unknown)} unknown ({', '.join(unknown[:3])}): "
            + ("these are image-to-video weights, take the text-to-video ones" if images else "get the file again")
        )
    for name in weights.shapes:
        tensor = weights.read(name)
        if name == "patch_embedding.weight" and tensor.shape[1] == dit.config.latent_channels:
            tensor = grow_patch_embedding(tensor, dit.config.in_channels)
        if tensor.shape != own[name].shape:
            hint = "weights of a text-to-video model have the latent's channels alone"
            raise ValueError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, this model has {tuple(own[name].shape)}: "
                + (hint if name == "patch_embedding.weight" else "choose other weights")
            )
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path}: {name} holds values that are not finite: the file is damaged, get it again")
        own[name].copy_(tensor)
    return sorted(set(new) - set(weights.shapes))


def check_sizes(config: DiTConfig, weights: WanWeights) -> None:
    """Does nothing if a model of `config` can start from the weights.

    Raises:
        ValueError: it cannot; every field that differs is named with both values.
    """
    sizes = _sizes(weights.shapes)
    if sizes["dim"] % HEAD_DIM == 0:
        sizes["num_heads"] = sizes["dim"] // HEAD_DIM
    own = asdict(config)
    different = [f"{name} {own[name]} instead of {value}" for name, value in sizes.items() if own[name] != value]
    if different:
        raise ValueError(
            f"{weights.path} has other sizes than the model section: the section has {', '.join(different)}: "
            "use the values of the weights, or weights of that size"
        )


def _sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The fields of `DiTConfig` that shapes tell."""
    try:
        patch, head = shapes["patch_embedding.weight"], shapes["head.head.weight"]
        channels = head[0] // math.prod(patch[2:])
        blocks = {int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")}
        sizes = {
            "space": SPACES.get(channels, f"of {channels} channels"),
            "latent_channels": channels,
            "dim": patch[0],
            "ffn_dim": shapes["blocks.0.ffn.0.weight"][0],
            "num_layers": len(blocks),
            "freq_dim": shapes["time_embedding.0.weight"][1],
            "text_dim": shapes["text_embedding.0.weight"][1],
            "patch_size": tuple(patch[2:]),
            "cross_attn_norm": "blocks.0.norm3.weight" in shapes,
        }
    except (KeyError, IndexError) as error:
        raise ValueError(
            f"no text-to-video transformer of Wan's kind: {error} is missing, take other weights"
        ) from error
    if channels not in SPACES:
        raise ValueError(f"the weights have {channels} latent channels, expected those of {SPACES}: are they Wan's?")
    return sizes


def _open(file: Path) -> safe_open:
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is not a readable safetensors file ({error}): get it again") from error


def _existing(files: list[Path], path: Path) -> list[Path]:
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        raise ValueError(f"no such weights: {missing[0] if missing else path}")
    return files
