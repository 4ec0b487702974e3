"""Model-guided degradation outside of ComfyUI: a Wan text-to-video model in diffusers' layout as the degrader.

S (4.2.2) stores the latent that comes out, U (3.3) decodes it and goes on with the synthetic degradation. diffusers and
transformers are asked only when a model is loaded.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gvr_core.coding import decode_frames, encode_frames
from gvr_core.degradations.config import SDEditDegradation, SyntheticDegradation
from gvr_core.degradations.sdedit import degrade_latent, degrade_model_guided
from gvr_core.geometry import LatentSpace, round_up
from gvr_core.latent_values import denormalize, normalize
from gvr_core.solvers import Model

from .config import EncodeConfig
from .encoders import WholeClipVAE, folder_digest, load_text, load_vae, pad_edge

TIMESTEPS = 1000
"""Wan's timestep at sigma 1."""
TEXT_TOKENS = 512
"""Rows of text that Wan attends to; the rest is zeros, which it was trained with and does not mask."""


class WanVAE(WholeClipVAE):
    """An AutoencoderKLWan as `VideoVAE`, both ways."""

    def decode_stream(self, latent: Tensor, *, chunk: int) -> list[Tensor]:
        """The clip as a whole, whatever `chunk` is: diffusers goes through it frame by frame itself."""
        return [self.vae.decode(latent, return_dict=False)[0]]


@dataclass(frozen=True, kw_only=True)
class WanDegrader:
    """A text-to-video model with its autoencoder and text encoder, all frozen.

    Attributes:
        space: latent space of autoencoder and transformer.
        vae: see there.
        transformer: a WanTransformer3DModel.
        text: prompt -> `n d`, a row for every token.
        most_sigma: the transformer is made for noise below this; 1 but for Wan 2.2 A14B, of which SDEdit needs the
            part for low noise alone.
    """

    space: LatentSpace
    vae: WanVAE
    transformer: torch.nn.Module
    text: Callable[[str], Tensor]
    most_sigma: float = 1.0

    def encode(self, frames: Iterable[np.ndarray]) -> tuple[Tensor, tuple[int, int, int]]:
        """Frames `h w 3` uint8 RGB -> normalised latent `1 c t h w`, and how many frames of which height and width.

        Sides are padded to what the transformer's patches need, the end to 4n+1 frames, both by repetition.
        """
        size: list[int] = []

        def chunks() -> Iterator[np.ndarray]:
            for frame in frames:
                size[:] = frame.shape[:2]
                yield pad_edge(frame, *(round_up(side, 2 * self.space.spatial) for side in size))[None]

        raw, count = encode_frames(self.vae, chunks(), self.space, self._device)
        return normalize(raw.float(), self.space.name), (count, size[0], size[1])

    def decode(self, latent: Tensor, size: tuple[int, int, int]) -> Iterator[np.ndarray]:
        """The way back, cut to the frames, height and width that `encode` told."""
        count, height, width = size
        raw = denormalize(latent, self.space.name)
        for piece in decode_frames(self.vae, raw, frames=count, height=height, width=width):
            yield from piece

    def decoded_frame(self, latent: Tensor, number: int, *, height: int, width: int) -> np.ndarray:
        """Frame `number` that a raw latent `c t h w` shows, `height width 3` uint8; nothing after it is decoded."""
        beginning = latent[None, :, : self.space.latent_frames(number + 1)].to(self._device)
        frames = self.decode(normalize(beginning, self.space.name), (number + 1, height, width))
        return deque(frames, maxlen=1)[0]

    def model(self, prompt: str, *, negative: str = "", cfg: float = 5.0) -> Model:
        """`model(x, sigma, step) -> velocity` under a prompt.

        Args:
            prompt: what the clip shows.
            negative: what guidance leads away from.
            cfg: conventional guidance scale; 1 asks the transformer once a step instead of twice.

        The model raises ValueError for noise that this transformer is not made for.
        """
        positive = self._context(prompt)
        away = self._context(negative) if cfg != 1 else None

        def velocity(x: Tensor, sigma: float, step: int) -> Tensor:
            if sigma >= self.most_sigma and self.most_sigma < 1:
                raise ValueError(
                    f"SDEdit starts at sigma {sigma:g}, the low-noise transformer of Wan 2.2 is made for less than "
                    f"{self.most_sigma:g}: use a smaller alpha or k"
                )
            predicted = self._predict(x, sigma, positive)
            if away is None:
                return predicted
            unguided = self._predict(x, sigma, away)
            return unguided + cfg * (predicted - unguided)

        return velocity

    def _predict(self, x: Tensor, sigma: float, context: Tensor) -> Tensor:
        timestep = torch.full((len(x),), TIMESTEPS * sigma, device=x.device)
        context = context.expand(len(x), -1, -1)
        values = x.to(self.transformer.dtype)
        return self.transformer(values, timestep, context, return_dict=False)[0].float()

    def _context(self, prompt: str) -> Tensor:
        rows = self.text(prompt)[:TEXT_TOKENS].to(self._device, self.transformer.dtype)
        return torch.nn.functional.pad(rows, (0, 0, 0, TEXT_TOKENS - len(rows)))[None]

    @property
    def _device(self) -> torch.device:
        return self.transformer.device


def degrade_to_latent(
    frames: Iterable[np.ndarray], wan: WanDegrader, config: SDEditDegradation, model: Model, *, seed: int, clip_id: str
) -> Tensor:
    """What S stores: the degraded raw latent `c t h w` of a clip, float32 on the CPU.

    Args:
        frames: `h w 3` uint8 RGB, already at a size that the model can make.
        wan: the degrader.
        config: how much.
        model: `wan.model(prompt)`.
        seed: 0 to 2**64 - 1.
        clip_id: name of the clip.
    """
    latent, _ = wan.encode(frames)
    latent = degrade_latent(latent, config, model, seed=seed, clip_id=clip_id)
    return denormalize(latent, wan.space.name)[0].float().cpu()


def degrade_to_frames(
    frames: Iterable[np.ndarray],
    wan: WanDegrader,
    config: SDEditDegradation,
    synthetic: SyntheticDegradation,
    model: Model,
    *,
    seed: int,
    clip_id: str,
) -> Iterator[np.ndarray]:
    """U's chain, see `gvr_core.degradations.sdedit.degrade_model_guided`; as many frames as came in."""
    size: list[tuple[int, int, int]] = []

    def encode(frames: Iterable[np.ndarray]) -> Tensor:
        latent, sizes = wan.encode(frames)
        size.append(sizes)
        return latent

    return degrade_model_guided(
        frames,
        config,
        synthetic,
        encode=encode,
        decode=lambda latent: wan.decode(latent, size[0]),
        model=model,
        seed=seed,
        clip_id=clip_id,
    )


def wan_identity(folder: Path | str) -> dict[str, str]:
    """What stands for the model in the plan: the folder's name and a digest of each part that is used.

    Raises:
        ValueError: a part is missing.
    """
    folder = Path(folder)
    parts = (_transformer_part(folder)[0], "vae", "text_encoder", "tokenizer")
    missing = [part for part in parts if not (folder / part).is_dir()]
    if missing:
        raise ValueError(f"{folder} has no folder {missing[0]}: give a Wan text-to-video model in diffusers' layout")
    return {"name": folder.absolute().name, **{part: folder_digest(folder / part) for part in parts}}


def load_wan(folder: Path | str, *, device: str = "auto") -> WanDegrader:
    """A Wan text-to-video model from a folder in diffusers' layout, as Wan-AI publishes its "-Diffusers" ones.

    The transformer is in bfloat16 on a GPU and in float32 on the CPU, the autoencoder in float32.

    Args:
        folder: with `transformer` (or `transformer_2`, which goes first), `vae`, `text_encoder` and `tokenizer`.
        device: "auto", "cpu" or "cuda".

    Raises:
        ValueError: a part is missing or does not load, the model needs more than text, or diffusers or transformers is
            not installed.
    """
    folder = Path(folder)
    try:
        from diffusers import WanTransformer3DModel
    except ImportError as error:
        raise ValueError(
            f"{folder.name} needs diffusers, and that is not installed: pip install diffusers transformers"
        ) from error
    part, most_sigma = _transformer_part(folder)
    config = EncodeConfig(vae=str(folder / "vae"), text=str(folder), text_tokens=TEXT_TOKENS, device=device)
    coder = load_vae(config)
    dtype = torch.bfloat16 if coder.device.type == "cuda" else torch.float32
    try:
        transformer = WanTransformer3DModel.from_pretrained(folder / part, torch_dtype=dtype, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / part} cannot be loaded as a Wan transformer: {error}") from error
    channels = coder.space.channels
    if (transformer.config.in_channels, transformer.config.out_channels) != (channels, channels):
        raise ValueError(
            f"{folder.name} takes {transformer.config.in_channels} channels for latents of {channels}: it needs more "
            "than a prompt; use a text-to-video model"
        )
    return WanDegrader(
        space=coder.space,
        vae=WanVAE(coder.vae.vae),
        transformer=transformer.eval().requires_grad_(False).to(coder.device),
        text=load_text(config),
        most_sigma=most_sigma,
    )


def _transformer_part(folder: Path) -> tuple[str, float]:
    """Which transformer makes the low-noise steps, and from which sigma on it must not be asked."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{folder} is no model in diffusers' layout ({error}): give the folder that holds model_index.json"
        ) from error
    boundary = index.get("boundary_ratio")
    return ("transformer", 1.0) if boundary is None else ("transformer_2", float(boundary))
