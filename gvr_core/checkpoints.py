"""Checkpoint files: safetensors with a JSON header that is the only truth about what is inside.

One file may hold a DiT (bare Wan key names, so that other Wan tools read it too), an upsampler (`upsampler.*`) and a
VAE (`vae.*`). The header says which, with their configs, the latent space, the settings the weights were made for and
the statistics that a later stage of training needs. Loading is strict: a tensor missing, left over or of another shape
is an error that names it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .geometry import latent_space
from .models.dit import DiT, DiTConfig
from .models.upsampler import LatentUpsampler, UpsamplerConfig
from .models.vae import NanoVAE, NanoVAEConfig
from .tensor_files import write_tensors

FORMAT = 1
PREFIXES = {"dit": "", "upsampler": "upsampler.", "vae": "vae."}


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Settings a cascade was made for: the defaults of every front end, and the ranges it has seen in training.

    Attributes:
        num_steps: model evaluations of a run.
        solver: name in `gvr_core.solvers.SOLVERS`.
        shift: shift of the sigma schedule; below 1 puts the steps where little noise is left.
        start: sigma the denoising starts from; 1 = pure noise, as in the papers.
        noise_aug: tau, noise augmentation of the low-resolution condition.
        noise_aug_range: lowest and highest tau seen in training.
        scales: spatial factors seen in training.
        references: whether references were seen in training.
    """

    num_steps: int
    solver: str
    shift: float
    start: float
    noise_aug: float
    noise_aug_range: tuple[float, float]
    scales: tuple[float, ...]
    references: bool

    def outside_training(self, *, scale: float, noise_aug: float, upsampler: str, has_references: bool) -> list[str]:
        """What of a run the weights have not seen in training, a sentence each, for the user."""
        notes = []
        if not any(abs(scale - trained) < 0.05 for trained in self.scales):
            trained = ", ".join(f"{scale:g}" for scale in self.scales)
            hint = ": upsampler pixel gives a cleaner picture there" if upsampler == "latent" else ""
            notes.append(f"scale {scale:.3g} is outside what this checkpoint was trained for ({trained}){hint}")
        if has_references and not self.references:
            notes.append("this checkpoint was not trained with references: they will not have the effect you expect")
        low, high = self.noise_aug_range
        if not low <= noise_aug <= high:
            notes.append(f"noise augmentation {noise_aug:g} is outside the trained range {low:g} to {high:g}")
        return notes


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a checkpoint says about itself.

    Attributes:
        space: name of the latent space.
        parts: plain config of each part that is inside ("dit", "upsampler", "vae").
        inference: settings, when a DiT is inside.
        statistics: figures measured in training, e.g. `residual_std`, `detail_table`.
        training: how it was made (steps, seed, version ...), for people.
    """

    space: str
    parts: dict[str, dict[str, Any]]
    inference: Inference | None = None
    statistics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(path: Path, modules: Mapping[str, nn.Module], header: Header, *, dtype: torch.dtype) -> None:
    """Write modules and header; the file appears complete or not at all.

    Args:
        path: a `.safetensors` file.
        modules: part name -> module, the parts of the header.
        header: what to say about them.
        dtype: floating-point type of the stored tensors.

    Raises:
        ValueError: header and modules name different parts.
    """
    if set(modules) != set(header.parts):
        raise ValueError(f"header describes {sorted(header.parts)}, modules are {sorted(modules)}")
    tensors = {
        PREFIXES[part] + name: tensor.detach().to("cpu", dtype).contiguous()
        for part, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    write_tensors(path, tensors, header_metadata(header))


def header_metadata(header: Header) -> dict[str, str]:
    """What a safetensors file with this header has as its metadata."""
    return {"format": "pt", "gvr": json.dumps({"format": FORMAT, **asdict(header)})}


def _open(path: Path) -> safe_open:
    if not path.is_file():
        raise ValueError(f"no such checkpoint: {path}")
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is not a readable safetensors file ({error}): it may be cut off or of another kind, get it again"
        ) from error


def has_header(path: Path | str) -> bool:
    """Whether a path is a checkpoint of this project, as far as can be told without reading its tensors."""
    path = Path(path)
    if not path.is_file() or path.suffix != ".safetensors":
        return False
    with _open(path) as file:
        return "gvr" in (file.metadata() or {})


def read_header(path: Path | str) -> Header:
    """The header of a checkpoint.

    Raises:
        ValueError: no file, no safetensors file, cut off, or not made by this project.
    """
    path = Path(path)
    with _open(path) as file:
        text = (file.metadata() or {}).get("gvr")
        names = file.keys()
    is_saved = any(name.startswith("model.diffusion_model.") for name in names)
    if text is None and is_saved:
        raise ValueError(
            f"{path} has no GVR header: it was written by ModelSave or another node that saves whole models, which "
            "leaves the header out; load the original file, and its LoRA with a LoRA loader"
        )
    if text is None:
        raise ValueError(
            f"{path} has no GVR header: it is not a cascade of this project (a base model needs training first)"
        )
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: the GVR header is damaged ({error})") from error
    version = values.pop("format", None) if isinstance(values, dict) else None
    if version != FORMAT:
        raise ValueError(f"{path}: header format {version}, this version reads {FORMAT}: update ComfyUI-GVR")
    try:
        inference = values.pop("inference")
        if inference is not None:
            inference = {k: tuple(v) if isinstance(v, list) else v for k, v in inference.items()}
            inference = Inference(**inference)
        header = Header(inference=inference, **values)
        spaces = {part: config["space"] for part, config in header.parts.items()}
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: the GVR header does not fit this version ({error})") from error
    latent_space(header.space)
    for part, space in spaces.items():
        if part not in PREFIXES or space != header.space:
            raise ValueError(
                f"{path}: the GVR header has a {part} of latent space {space}, expected {', '.join(PREFIXES)} of "
                f"{header.space}: the file was put together wrongly, export it again"
            )
    return header


def read_cascade_header(path: Path | str) -> Header:
    """As `read_header`, of a file that holds a cascade.

    Raises:
        ValueError: as `read_header`; or there is no DiT of a cascade inside.
    """
    header = read_header(path)
    if "dit" not in header.parts:
        raise ValueError(f"{path} holds {', '.join(header.parts)}, but no cascade: choose a checkpoint with a dit")
    if header.inference is None or not header.parts["dit"].get("condition_channels"):
        raise ValueError(f"{path} holds a dit that is no cascade yet: train and export it first")
    return header


def build_part(part: str, config: dict[str, Any], **kwargs: Any) -> nn.Module:
    """The module of a header entry, with initial weights; `kwargs` reach the DiT (operations, dense, device, dtype).

    Raises:
        ValueError: the config does not fit this version.
    """
    try:
        if part == "vae":
            return NanoVAE(NanoVAEConfig(**config))
        if part == "upsampler":
            return LatentUpsampler(UpsamplerConfig(**config))
        config = DiTConfig.from_dict(config)
    except TypeError as error:
        raise ValueError(f"the config of the {part} does not fit this version ({error}): update ComfyUI-GVR") from error
    return DiT(config, **kwargs)


def _part_names(names: list[str], part: str) -> list[str]:
    prefix = PREFIXES[part]
    others = tuple(p for p in PREFIXES.values() if p)
    return [n for n in names if (n.startswith(prefix) if prefix else not n.startswith(others))]


def read_part(path: Path | str, part: str) -> dict[str, Tensor]:
    """The tensors of one part, without their prefix, in the type they are stored in."""
    prefix = PREFIXES[part]
    with _open(Path(path)) as file:
        return {n[len(prefix) :]: file.get_tensor(n) for n in _part_names(list(file.keys()), part)}


def count_parameters(path: Path | str, part: str) -> int:
    """Numbers in the tensors of one part; none of them is read."""
    with _open(Path(path)) as file:
        return sum(math.prod(file.get_slice(n).get_shape()) for n in _part_names(list(file.keys()), part))


def load_part(path: Path | str, part: str, *, dtype: torch.dtype = torch.float32) -> nn.Module:
    """One part of a checkpoint as a module in evaluation mode, without gradients.

    Raises:
        ValueError: as `read_header`; or the part is not inside; or its tensors do not fit its config.
    """
    header = read_header(path)
    if part not in header.parts:
        raise ValueError(
            f"{path} holds {', '.join(header.parts) or 'nothing'}, but no {part}: choose another checkpoint"
        )
    with torch.device("meta"):
        module = build_part(part, header.parts[part])
    tensors = {name: tensor.to(dtype) for name, tensor in read_part(path, part).items()}
    check_state_dict(module, tensors, source=str(path))
    module.load_state_dict(tensors, assign=True)
    # This layout makes 3-D convolutions on CPUs several times faster, and is what cuDNN prefers too.
    return module.eval().requires_grad_(False).to(memory_format=torch.channels_last_3d)


def check_state_dict(module: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Compare names, shapes and finiteness of tensors with a module.

    Raises:
        ValueError: naming the first differences.
    """
    expected = module.state_dict()
    missing = sorted(set(expected) - set(tensors))
    unknown = sorted(set(tensors) - set(expected))
    if missing or unknown:
        parts = [
            f"{len(v)} {k} ({', '.join(v[:3])}{', ...' if len(v) > 3 else ''})"
            for k, v in (("tensors missing", missing), ("tensors unknown", unknown))
            if v
        ]
        raise ValueError(f"{source} does not fit its own header: {'; '.join(parts)}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(
                f"{source}: {name} has shape {tuple(tensor.shape)}, its config says {tuple(expected[name].shape)}"
            )
        # 8-bit floats have no isfinite of their own.
        if not torch.isfinite(tensor.float() if tensor.element_size() == 1 else tensor).all():
            raise ValueError(f"{source}: {name} holds values that are not finite: the file is damaged")
