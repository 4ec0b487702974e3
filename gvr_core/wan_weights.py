"""Public Wan text-to-video weights as the start of a cascade: same tensors, patch embedding grown with zeros.

What the base model does not have (condition channels, noise embedding, per-frame attention) keeps its initial value,
which is zero at the output: before training the cascade equals the base model exactly.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .models.dit import DiT, grow_patch_embedding

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.")
NEW_PARTS = ("noise_embedding.", ".spatial_attn.")
"""Parts of names that a base model does not have."""


def shards(path: Path) -> list[Path]:
    """The files of a checkpoint: one `.safetensors`, those of an `.index.json`, or all in a folder.

    Raises:
        ValueError: nothing there.
    """
    if path.is_dir():
        indexes = sorted(path.glob("*.safetensors.index.json"))
        return shards(indexes[0]) if indexes else _existing(sorted(path.glob("*.safetensors")), path)
    if path.name.endswith(".index.json") and path.is_file():
        try:
            names = json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not an index of weights ({error}): get it again") from error
        return _existing([path.parent / name for name in sorted(set(names))], path)
    return _existing([path], path)


def read_wan_weights(path: Path | str) -> dict[str, Tensor]:
    """All tensors of a Wan checkpoint under Wan's bare names, in the type they are stored in.

    Raises:
        ValueError: no files, not readable, or no Wan transformer inside (diffusers' names included: they differ).
    """
    tensors: dict[str, Tensor] = {}
    for file in shards(Path(path)):
        tensors.update(_read(file))
    for prefix in PREFIXES:
        if f"{prefix}patch_embedding.weight" in tensors:
            tensors = {n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)}
    if "patch_embedding.weight" not in tensors or "head.head.weight" not in tensors:
        hint = " (it has diffusers' names: use the original release)" if "proj_out.weight" in tensors else ""
        raise ValueError(f"{path} holds no Wan transformer{hint}: expected patch_embedding.weight and head.head.weight")
    return tensors


@torch.no_grad()
def initialize_from_wan(dit: DiT, path: Path | str) -> list[str]:
    """Load Wan T2V weights into a DiT that has been given its initial weights.

    Args:
        dit: of the base model's sizes; its config may add condition channels, noise embedding and per-frame attention.
        path: safetensors file, index or folder.

    Returns:
        Names of the tensors that kept their initial value.

    Raises:
        ValueError: as `read_wan_weights`; or base tensors are missing, unknown or of another shape.
    """
    tensors = read_wan_weights(path)
    own = dit.state_dict()
    weight = tensors["patch_embedding.weight"]
    wanted = own["patch_embedding.weight"].shape
    if weight.ndim == 5 and weight.shape[1] == dit.config.latent_channels:
        tensors["patch_embedding.weight"] = grow_patch_embedding(weight, wanted[1])
    new = [name for name in own if any(part in name for part in NEW_PARTS)]
    missing = sorted(set(own) - set(tensors) - set(new))
    unknown = sorted(set(tensors) - set(own))
    if missing or unknown:
        raise ValueError(
            f"{path} does not fit this model: {len(missing)} tensors missing ({', '.join(missing[:3])}), "
            f"{len(unknown)} unknown ({', '.join(unknown[:3])}): choose the model size of the weights"
        )
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise ValueError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, this model has {tuple(own[name].shape)}: "
                "choose the model size of the weights"
            )
        own[name].copy_(tensor)
    return sorted(set(new) - set(tensors))


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is not a readable safetensors file ({error}): get it again") from error


def _existing(files: list[Path], path: Path) -> list[Path]:
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        raise ValueError(f"no such weights: {missing[0] if missing else path}")
    return files
