"""Read and write latents as files: ComfyUI's .latent, .safetensors of this project, and .pth/.pt tensors.

Files hold what runs on ComfyUI's LATENT wire: raw autoencoder values, before the model's channel means and deviations.
That is a rule of ours, which no file states: values are returned as they are stored. Latents saved by research code
(.pth) are often already normalised; `latent_values.scale_warning` tells, `latent_values.denormalize` makes them raw.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from einops import rearrange
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .tensor_files import write_tensors

LATENT_SUFFIXES = (".latent", ".safetensors", ".pth", ".pt")
"""Suffixes that can be read; the first two can be written."""

_FORMAT = "gvr-latent"
_COMFY_KEY = "latent_tensor"
_COMFY_VERSION = "latent_format_version_0"
# ComfyUI divides by Stable Diffusion 1's scale on loading a file without the version key, whatever the model.
_COMFY_OLD_SCALE = 1 / 0.18215


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentFile:
    """A latent and what its file says of the video behind it.

    Attributes:
        latent: `1 c t h w`, float32, finite.
        space: Name of the latent space (see `geometry.latent_space`), None where the file does not say.
        frames: Frames of the video before it was padded for the autoencoder, or None.
        fps: Frames per second, or None.
        height: Pixels of the video before padding, or None.
        width: As height.

    Raises:
        ValueError: a latent of another rank, batch or type, an empty one, or one with values that are not finite.
    """

    latent: Tensor
    space: str | None = None
    frames: int | None = None
    fps: Fraction | None = None
    height: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        latent = self.latent
        shape = tuple(latent.shape)
        if latent.ndim != 5 or not latent.numel():
            raise ValueError(f"latent has shape {shape}, expected `b c t h w` with no empty side")
        if latent.shape[0] != 1:
            raise ValueError(f"latent is a batch of {latent.shape[0]} (shape {shape}), expected one video a file")
        if latent.dtype != torch.float32:
            raise ValueError(f"latent is {latent.dtype}, expected float32: convert it with .float()")
        if not torch.isfinite(latent).all():
            raise ValueError(
                "latent holds NaN or infinite values, it cannot be decoded: make it again, in float32 or bfloat16"
            )


def read_latent(path: str | Path) -> LatentFile:
    """The latent of a file.

    .latent: tensor `latent_tensor`; 4-D is ComfyUI's `b c h w` of pictures and becomes one latent frame.
    .safetensors, .pth, .pt: tensor `latent`, or the only one; 4-D is one video, `c t h w`.

    Raises:
        ValueError: no such file, another suffix, damaged, no or several candidates for the latent, or what
            `LatentFile` raises.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    if suffix not in LATENT_SUFFIXES:
        raise ValueError(f"{path.name} is not a latent file: expected a name ending in {', '.join(LATENT_SUFFIXES)}")
    metadata: dict[str, str] = {}
    if suffix in (".pth", ".pt"):
        latent = _read_torch(path)
    else:
        latent, metadata = _read_safetensors(path)
    if not latent.is_floating_point():
        raise ValueError(f"{path.name} holds a tensor of {latent.dtype}, expected floating point: is it a latent?")
    if latent.ndim == 4:
        latent = rearrange(latent, "b c h w -> b c 1 h w" if suffix == ".latent" else "c t h w -> 1 c t h w")
    try:
        return LatentFile(latent=latent.float().contiguous(), **_fields(metadata))
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def write_latent(path: str | Path, file: LatentFile) -> None:
    """Writes a .latent that ComfyUI's Load Latent reads, or a .safetensors; whole or not at all.

    Raises:
        ValueError: another suffix, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in LATENT_SUFFIXES[:2]:
        raise ValueError(f"cannot write {path.name}: give a name ending in {' or '.join(LATENT_SUFFIXES[:2])}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"cannot write {path}: the folder {path.absolute().parent} does not exist, make it first")
    latent = file.latent.detach().cpu().contiguous()
    tensors = {_COMFY_KEY: latent, _COMFY_VERSION: torch.tensor([])} if suffix == ".latent" else {"latent": latent}
    fields = {name: getattr(file, name) for name in ("space", "frames", "fps", "height", "width")}
    metadata = {"format": _FORMAT, **{name: str(value) for name, value in fields.items() if value is not None}}
    try:
        write_tensors(path, tensors, metadata)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot write {path}: {error}") from error


def _read_safetensors(path: Path) -> tuple[Tensor, dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            key = _COMFY_KEY if _COMFY_KEY in keys else _latent_key(keys, path)
            scale = _COMFY_OLD_SCALE if key == _COMFY_KEY and _COMFY_VERSION not in keys else 1.0
            latent = file.get_tensor(key)
            return (latent if scale == 1.0 else latent.float() * scale), file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path.name} is damaged or not a safetensors file: {error}") from error


def _read_torch(path: Path) -> Tensor:
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path.name} is damaged or holds more than tensors, which would be unsafe to load: save the tensor alone"
        ) from error
    if isinstance(content, dict):
        tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        content = tensors[_latent_key(list(tensors), path)]
    if not isinstance(content, Tensor):
        raise ValueError(f"{path.name} holds a {type(content).__name__}, expected a tensor: save the latent alone")
    return content


def _latent_key(keys: list[str], path: Path) -> str:
    if "latent" in keys:
        return "latent"
    if len(keys) == 1:
        return keys[0]
    some = ", ".join(sorted(keys)[:3]) or "none"
    raise ValueError(f"{path.name} holds {len(keys)} tensors ({some}), expected one called `latent`: is it a latent?")


def _fields(metadata: dict[str, str]) -> dict[str, str | int | Fraction]:
    if metadata.get("format") != _FORMAT:
        return {}
    kinds = {"space": str, "frames": int, "fps": Fraction, "height": int, "width": int}
    return {name: kind(metadata[name]) for name, kind in kinds.items() if name in metadata}
