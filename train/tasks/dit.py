"""Task `dit`: the cascade's diffusion transformer behind a frozen VAE and a frozen upsampler (S 3, 4.1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from gvr_core import flow
from gvr_core.checkpoints import load_part, read_header
from gvr_core.models.dit import TIMESTEPS, DiT
from gvr_core.models.dit_config import DiTConfig
from gvr_core.models.preconditioning import precondition

from ..config import build
from ..data import ClipDataset
from ..latent_bank import LatentBank
from ..noise import batch_noise, sample_generators
from .upsampler import halve


@dataclass(frozen=True, kw_only=True)
class DiTObjective:
    """The frozen parts and what is drawn for each sample.

    Attributes:
        vae: checkpoint with the VAE.
        upsampler: checkpoint with the upsampler; its header has the `residual_std` the model is preconditioned with.
        sigma_mean: of the normal distribution that the logit of sigma is drawn from.
        sigma_std: its deviation.
        noise_aug: lowest and highest noise augmentation tau.
        noise_aug_power: tau = low + (high - low) * u ** power, u uniform; above 1 prefers low levels.
    """

    vae: str
    upsampler: str
    sigma_mean: float
    sigma_std: float
    noise_aug: tuple[float, ...]
    noise_aug_power: float

    def __post_init__(self) -> None:
        if len(self.noise_aug) != 2 or not 0 <= self.noise_aug[0] <= self.noise_aug[1] < 1:
            raise ValueError(f"objective.noise_aug is {list(self.noise_aug)}, expected [low, high] within [0, 1)")


class DiTTask:
    """See `Task`."""

    part = "dit"

    def __init__(self, model: dict[str, Any], objective: dict[str, Any]) -> None:
        self.objective: DiTObjective = build(DiTObjective, objective, "objective.")
        self.vae = load_part(self.objective.vae, "vae")
        self.upsampler = load_part(self.objective.upsampler, "upsampler")
        self.frozen = (self.vae, self.upsampler)
        statistics = read_header(self.objective.upsampler).statistics
        config = DiTConfig.from_dict({**model, "residual_std": statistics["residual_std"]})
        self.model = DiT(config)
        self.model.initialize()

    def samples(self, clips: ClipDataset) -> Dataset:
        files = (self.objective.vae, self.objective.upsampler)
        key = " ".join(hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files)
        return LatentBank(clips, self._pair, key=key, spatial=self.vae.space.spatial)

    def _pair(self, video: Tensor) -> tuple[Tensor, Tensor]:
        video = video.to(self.model.patch_embedding.weight.device)
        clean = self.vae.encode(video)
        low = self.vae.encode(halve(video))
        upsampled = self.upsampler(low, scale=2.0, height=clean.shape[-2], width=clean.shape[-1])
        return clean.cpu(), upsampled.cpu()

    def start(self, clips: ClipDataset) -> None:
        """Nothing more to initialise."""

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        clean, upsampled = batch["clean"], batch["upsampled"]
        generators = sample_generators(batch["noise_seed"])
        noise, condition_noise = (batch_noise(generators, clean.shape[1:], clean.device) for _ in range(2))
        draws = torch.stack([torch.rand((), generator=g) for g in generators])
        low_tau, high_tau = self.objective.noise_aug
        tau = (low_tau + (high_tau - low_tau) * draws**self.objective.noise_aug_power).to(clean.device)
        normal = torch.stack([torch.randn((), generator=g) for g in generators])
        sigma = torch.sigmoid(self.objective.sigma_mean + self.objective.sigma_std * normal).to(clean.device)

        condition = flow.interpolate(upsampled, condition_noise, tau)
        x = flow.interpolate(clean, noise, sigma)
        velocity = self.model(x, TIMESTEPS * sigma, None, condition=condition, noise_level=tau)
        error = (velocity.float() - flow.velocity(noise, clean)).square()
        # The squared error of the clean estimate, divided by its expectation at this sigma and tau: every noise
        # level counts the same, and the channels count by the pixels they move.
        terms = precondition(x, condition, sigma=sigma, noise_level=tau, residual_std=self.model.config.residual_std)
        expected = 1 / terms.loss_weight
        loss = error.mean(dim=(1, 2, 3, 4)) / expected.mean(dim=(1, 2, 3, 4))
        return loss.mean(), {"sigma": float(sigma.mean()), "tau": float(tau.mean())}

    def part_config(self) -> dict[str, Any]:
        return self.model.config.to_dict()

    def statistics(self, clips: ClipDataset) -> dict[str, Any]:
        return {}
