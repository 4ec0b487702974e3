"""Autoencoders and text encoders behind one face each; diffusers and transformers are needed only where named."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gvr_core.cascade import nano_path
from gvr_core.checkpoints import load_part, read_header
from gvr_core.coding import FrameCounter, VideoVAE, encode_frames, to_tensor
from gvr_core.geometry import LatentSpace, latent_space
from gvr_core.models.upsampler import bilinear

from .config import EncodeConfig
from .devices import pick_device

_CLASSES = MappingProxyType(
    {
        "AutoencoderKLWan": {16: "wan21", 48: "wan22"},
        "AutoencoderKLHunyuanVideo": {16: "hunyuan"},
        "AutoencoderKLHunyuanVideo15": {32: "hunyuan15"},
    }
)
"""diffusers' class -> latent channels -> latent space."""
_TILED = ("AutoencoderKLHunyuanVideo", "AutoencoderKLHunyuanVideo15")
"""They attend over all cells of a group of frames: at 1088 x 1920 pixels the mask alone would take 99 GiB. Made for
tiles (diffusers' default ones), which change the latent a little; Wan's autoencoders need none."""

_SMALL, _BLOCKS, _BLOCK = 2**20, 256, 2**12
"""Bytes below which a file is read whole; of a larger one the number of blocks and their bytes."""


@dataclass(frozen=True)
class VideoEncoder:
    """A frozen autoencoder and the latent space it codes into."""

    space: LatentSpace
    vae: VideoVAE
    device: torch.device

    def __call__(self, frames: Iterable[np.ndarray], *, height: int, width: int) -> Tensor:
        """Frames `h w 3` uint8 RGB -> raw latent `c t h w` of `height` x `width` pixels, float32 on the CPU.

        The edge is repeated to that size, which is the pair's (`gvr_core.geometry.pair_size`): two videos that are each
        padded to whole cells of their own would not lie over each other.
        """
        chunks = (pad_edge(frame, height, width)[None] for frame in frames)
        return encode_frames(self.vae, chunks, self.space, self.device)[0][0].float().cpu()

    @torch.inference_mode()
    def enlarged(self, frames: Iterable[np.ndarray], *, scale: float, height: int, width: int) -> Tensor:
        """The raw latent of frames that are first enlarged bilinearly by `scale` to `height` x `width` pixels (U 3.2).

        Where that is more than `scale` times the frame the edge is repeated. The enlarged pixels are not rounded, as in
        `gvr_core.coding.reencode_enlarged`.
        """
        chunks = FrameCounter((frame[None] for frame in frames), self.space)
        videos = (to_tensor(chunk, height=chunk.shape[1], width=chunk.shape[2]).to(self.device) for chunk in chunks)
        latents = self.vae.encode_stream(bilinear(video, scale=scale, height=height, width=width) for video in videos)
        return torch.cat(list(latents), dim=2)[0].float().cpu()


class WholeClipVAE:
    """A diffusers autoencoder as `VideoVAE`: the clip goes in as a whole, the mean of the latent comes out."""

    def __init__(self, vae: torch.nn.Module) -> None:
        self.vae = vae

    def encode_stream(self, chunks: Iterable[Tensor]) -> list[Tensor]:
        video = torch.cat(list(chunks), dim=2)
        return [self.vae.encode(video).latent_dist.mode()]


def pad_edge(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """A frame `h w 3` with its last row and column repeated to `height` x `width`, as `coding.to_tensor` does."""
    return np.pad(frame, ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0)), mode="edge")


def vae_identity(name: str) -> dict[str, Any]:
    """What stands for the weights in the plan: latent space and a hash, and whether it works in tiles.

    Raises:
        ValueError: nothing is there, or nothing that can be used.
    """
    path = nano_path() if name == "nano" else Path(name)
    if path.is_dir():
        class_name, space = _diffusers_space(path)
        tiled = {"tiled": True} if class_name in _TILED else {}
        return {"space": space, "weights": folder_digest(path), **tiled}
    header = read_header(path)
    if "vae" not in header.parts:
        raise ValueError(f"encode.vae: {path} holds {', '.join(header.parts)}, but no vae: choose another file")
    return {"space": header.space, "weights": hashlib.sha256(path.read_bytes()).hexdigest()[:16]}


def load_vae(config: EncodeConfig) -> VideoEncoder:
    """The autoencoder of a config, in float32.

    Raises:
        ValueError: as `vae_identity`; or diffusers is needed and not installed.
    """
    device = pick_device(config.device)
    path = nano_path() if config.vae == "nano" else Path(config.vae)
    if not path.is_dir():
        vae = load_part(path, "vae").to(device)
        return VideoEncoder(latent_space(read_header(path).space), vae, device)
    class_name, space = _diffusers_space(path)
    try:
        import diffusers
    except ImportError as error:
        raise ValueError(
            f"encode.vae is {path}, which needs diffusers, and that is not installed: pip install diffusers"
        ) from error
    if not hasattr(diffusers, class_name):
        raise ValueError(f"{path} needs a newer diffusers ({class_name}): pip install --upgrade diffusers")
    try:
        vae = getattr(diffusers, class_name).from_pretrained(path, torch_dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be loaded as {class_name}: {error}") from error
    if class_name in _TILED:
        vae.enable_tiling()
    return VideoEncoder(latent_space(space), WholeClipVAE(vae.eval().requires_grad_(False).to(device)), device)


def text_identity(name: str) -> dict[str, str] | None:
    """What stands for the text encoder in the plan; None for no text. Raises ValueError when it is not there."""
    if not name:
        return None
    path = Path(name)
    for part in ("text_encoder", "tokenizer"):
        if not (path / part).is_dir():
            raise ValueError(f"encode.text: {path} has no folder {part}: give a Wan model in diffusers' layout")
    return {"weights": folder_digest(path / "text_encoder"), "tokenizer": folder_digest(path / "tokenizer")}


def load_text(config: EncodeConfig) -> Callable[[str], Tensor] | None:
    """Prompt -> its embedding `n d` in bfloat16 on the CPU, one row for every token that is not padding; or None.

    Raises:
        ValueError: transformers is not installed, or the folder does not load.
    """
    if not config.text:
        return None
    try:
        from transformers import AutoTokenizer, UMT5EncoderModel
    except ImportError as error:
        raise ValueError(
            "encode.text needs transformers, and that is not installed: pip install transformers"
        ) from error
    path, device = Path(config.text), pick_device(config.device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path / "tokenizer", local_files_only=True)
        model = UMT5EncoderModel.from_pretrained(path / "text_encoder", dtype=torch.bfloat16, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"encode.text: {path} cannot be loaded: {error}") from error
    model = model.eval().requires_grad_(False).to(device)

    @functools.lru_cache(maxsize=64)  # samples of one clip follow each other and share its caption
    @torch.inference_mode()
    def encode(prompt: str) -> Tensor:
        # White space as Wan was trained with. Alone in its batch a prompt needs no padding.
        tokens = tokenizer(
            " ".join(prompt.split()), max_length=config.text_tokens, truncation=True, return_tensors="pt"
        ).to(device)
        return model(tokens.input_ids, tokens.attention_mask).last_hidden_state[0].to("cpu", torch.bfloat16)

    return encode


def _diffusers_space(path: Path) -> tuple[str, str]:
    """Class and latent space of a folder with a diffusers autoencoder."""
    try:
        values = json.loads((path / "config.json").read_text(encoding="utf-8"))
        class_name = values["_class_name"]
        channels = values.get("z_dim", values.get("latent_channels"))
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"encode.vae: {path} is no folder of a diffusers autoencoder ({error})") from error
    space = _CLASSES.get(class_name, {}).get(channels)
    if space is None:
        raise ValueError(
            f"encode.vae: {path} is a {class_name} with {channels} latent channels, "
            f"expected one of {', '.join(_CLASSES)}"
        )
    return class_name, space


def folder_digest(path: Path) -> str:
    """Of small files the content, of weights the size and some blocks: whole ones would take minutes at every start.

    Fine-tunes of one model have files of the same size and the same header; training changes nearly every number, so a
    few blocks tell them apart.
    """
    total = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file():
            total.update(f"{file.name} {file.stat().st_size} ".encode())
            for block in _blocks(file):
                total.update(block)
    return total.hexdigest()[:16]


def _blocks(file: Path) -> Iterator[bytes]:
    """All of a small file; of a large one blocks evenly from its beginning to its end."""
    size = file.stat().st_size
    if size < _SMALL:
        yield file.read_bytes()
        return
    with file.open("rb") as stream:
        for number in range(_BLOCKS):
            stream.seek(number * (size - _BLOCK) // (_BLOCKS - 1))
            yield stream.read(_BLOCK)
