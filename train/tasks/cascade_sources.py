"""Where the cascade's samples come from: clips behind a frozen VAE, or pairs of latents made by `train encode`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from gvr_core.cascade import nano_path
from gvr_core.checkpoints import load_part, read_header
from gvr_core.models.upsampler import LatentUpsampler
from gvr_core.models.vae import NanoVAE

from ..data.cascade_groups import CascadeGroups
from ..data.clips import open_clips
from ..data.latent_bank import LatentBank
from ..data.pair_groups import PairGroups
from ..fit_config import FitConfig
from ..pairs import PairShards
from .cascade_config import CascadeObjective


class Source(Protocol):
    """Groups for the cascade and what it needs to know of them.

    Attributes:
        space: name of the latent space.
        residual_std: per channel, deviation of clean minus condition, where it was measured.
        frozen: modules of its own.
        upsampler: a frozen one, for samples that hold low-resolution latents.
        decode: latents `b c t h w` -> video `b 3 f h w` in [-1, 1]; None where there is no VAE.
    """

    space: str
    residual_std: tuple[float, ...] | None
    frozen: tuple[nn.Module, ...]
    upsampler: LatentUpsampler | None
    decode: Callable[[Tensor], Tensor] | None

    def groups(self, *, held_out: bool) -> Dataset:
        """See `Task`."""

    def encode(self, video: Tensor) -> Tensor:
        """Latents `b c t h w` of `b 3 f h w` in [-1, 1]."""


class ClipSource:
    """Clips, encoded by a VAE of this project and enlarged by a frozen upsampler, one in training, or in pixels."""

    def __init__(self, config: FitConfig, objective: CascadeObjective) -> None:
        """Raises ValueError where a checkpoint is missing or of another latent space."""
        self.config, self.objective = config, objective
        if not objective.vae:
            raise ValueError("objective.vae is empty, clips have to be encoded: give a checkpoint with a VAE, or nano")
        self.files = [checkpoint_path(file) for file in (objective.vae, objective.upsampler) if file]
        self.vae: NanoVAE = load_part(self.files[0], "vae")
        self.space, self.upsampler, self.residual_std = self.vae.space.name, None, None
        if objective.upsampler:
            self.upsampler, self.residual_std = frozen_upsampler(objective.upsampler, self.space)
        self.frozen = tuple(module for module in (self.vae, self.upsampler) if module is not None)
        self.decode = self.vae.decode

    def groups(self, *, held_out: bool) -> Dataset:
        clips = open_clips(self.config.data, held_out=held_out)
        space = self.vae.space
        key = " ".join([self.objective.route, *(digest(file) for file in self.files)])
        bank = LatentBank(clips, self.config.data, self._encode_pair, key=key, multiple=2 * space.spatial)
        return CascadeGroups(self.config, clips, bank, spatial=space.spatial)

    def encode(self, video: Tensor) -> Tensor:
        return self.vae.encode(video)

    def _encode_pair(self, video: Tensor) -> dict[str, Tensor]:
        device = next(self.vae.parameters()).device
        video = video.to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.config.precision == "bf16"):
            clean = self.vae.encode(video)
            if self.objective.route == "pixel":
                enlarged = functional.interpolate(
                    halve(video), size=video.shape[2:], mode="trilinear", align_corners=False
                )
                return {"clean": clean, "condition": self.vae.encode(enlarged)}
            low = self.vae.encode(halve(video))
            if self.upsampler is None:
                return {"clean": clean, "low": low}
            height, width = clean.shape[-2:]
            return {"clean": clean, "condition": self.upsampler(low, scale=2.0, height=height, width=width)}


class PairSource:
    """Latents made by `train encode`; nothing is encoded any more."""

    def __init__(self, config: FitConfig, objective: CascadeObjective) -> None:
        """Raises ValueError where the folder or the frozen upsampler do not fit."""
        if objective.vae:
            raise ValueError("objective.vae is given, but pairs hold latents already: leave it empty")
        self.config, self.objective = config, objective
        self.pairs = PairShards(config.data.root)
        self.space, self.upsampler, self.residual_std = self.pairs.space, None, None
        if objective.upsampler:
            self.upsampler, self.residual_std = frozen_upsampler(objective.upsampler, self.space)
        self.frozen: tuple[nn.Module, ...] = () if self.upsampler is None else (self.upsampler,)
        self.decode = None

    def groups(self, *, held_out: bool) -> Dataset:
        return PairGroups(self.config, self.pairs, route=self.objective.route, held_out=held_out)

    def encode(self, video: Tensor) -> Tensor:
        raise ValueError(f"the pairs in {self.config.data.root} come with their references: there is nothing to encode")


def make_source(config: FitConfig, objective: CascadeObjective) -> Source:
    """The source that `data.source` names. Raises ValueError as the sources."""
    return (PairSource if config.data.source == "pairs" else ClipSource)(config, objective)


def frozen_upsampler(name: str, space: str) -> tuple[LatentUpsampler, tuple[float, ...] | None]:
    """The upsampler of a checkpoint, and `residual_std` where it was measured.

    Raises:
        ValueError: no such part, or of another latent space.
    """
    path = checkpoint_path(name)
    upsampler, header = load_part(path, "upsampler"), read_header(path)
    if header.space != space:
        raise ValueError(f"objective.upsampler is of latent space {header.space}, the data of {space}: choose another")
    std = header.statistics.get("residual_std")
    return upsampler, None if std is None else tuple(std)


def checkpoint_path(name: str | Path) -> Path:
    """The file that a config or a command names; "nano" is the bundled checkpoint."""
    return nano_path() if str(name) == "nano" else Path(name)


def digest(file: Path) -> str:
    """A short name of a file's content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def halve(video: Tensor) -> Tensor:
    """`b c f h w` at half the size by area averaging: the low-resolution video of a training pair."""
    return functional.avg_pool3d(video, (1, 2, 2))
