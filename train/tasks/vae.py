"""Task `vae`: the Nano autoencoder, from its linear start, by pixel losses."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from gvr_core.models.vae import NanoVAE, NanoVAEConfig

from ..config import build
from ..data import open_clips, to_signed
from ..data.video_groups import VideoGroups
from ..fit_config import FitConfig
from ..linear_start import start_linear
from ..noise import batch_noise

log = logging.getLogger("gvr")


@dataclass(frozen=True, kw_only=True)
class VAEObjective:
    """Weights of the terms.

    Attributes:
        squared: mean squared error over [-1, 1] pixels (what PSNR measures).
        edges: mean absolute error of horizontal and vertical pixel differences (what eyes see).
        latent_noise: standard deviation of noise added to the latent before decoding, so that the decoder forgives a
            sampler's small errors.
        latent_power: holds the latent's mean square at 1; without it the encoder outgrows the noise.
        start_samples: samples whose blocks give the principal components.
    """

    squared: float
    edges: float
    latent_noise: float
    latent_power: float
    start_samples: int


class VAETask:
    """See `Task`."""

    def __init__(self, config: FitConfig) -> None:
        self.config = config
        self.objective: VAEObjective = build(VAEObjective, config.objective, "objective.")
        self.model = NanoVAE(build(NanoVAEConfig, config.model, "model."))
        self.frozen: tuple[nn.Module, ...] = ()

    def groups(self, *, held_out: bool = False) -> Dataset:
        return VideoGroups(self.config, open_clips(self.config.data, held_out=held_out))

    def start(self) -> None:
        samples = self.groups()
        videos = [to_signed(samples.sample(k)["video"])[None] for k in range(self.objective.start_samples)]
        log.info("linear start keeps %.4f of the variance", start_linear(self.model, videos))

    def loss(self, batch: dict[str, Any], *, sigma: float | None = None) -> tuple[Tensor, dict[str, float]]:
        video = to_signed(batch["video"])
        latent = self.model.encode(video)
        noise = batch_noise(batch["noise_seed"], latent.shape[1:], latent.device)
        decoded = self.model.decode(latent + self.objective.latent_noise * noise).float()
        squared = functional.mse_loss(decoded, video)
        edges = edge_loss(decoded, video)
        power = (latent.float().square().mean() - 1).square()
        total = self.objective.squared * squared + self.objective.edges * edges + self.objective.latent_power * power
        psnr = 10 * torch.log10(4 / squared.detach())
        return total, {"psnr": float(psnr), "edges": float(edges.detach()), "power": float(power.detach())}

    def modules(self) -> dict[str, nn.Module]:
        return {"vae": self.model}

    def part_configs(self) -> dict[str, dict[str, Any]]:
        return {"vae": dataclasses.asdict(self.model.config)}

    def statistics(self) -> dict[str, Any]:
        return {}


def edge_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the spatial gradients of two videos `b c f h w`."""
    error = a - b
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
