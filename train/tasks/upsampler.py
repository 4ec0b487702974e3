"""Task `upsampler`: the latent upsampler alone, by latent and decoded-pixel losses behind a frozen VAE."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from gvr_core.checkpoints import load_part
from gvr_core.models.upsampler import LatentUpsampler, UpsamplerConfig, bilinear

from ..config import build
from ..data import ClipDataset, to_signed
from ..linear_start import start_upsampler
from .vae import edge_loss

log = logging.getLogger("gvr")

START_SAMPLES, STATISTICS_SAMPLES = 96, 96


@dataclass(frozen=True, kw_only=True)
class UpsamplerObjective:
    """The frozen VAE (`vae`: a checkpoint) and the weights: latent and pixel squared error, edges of pixels."""

    vae: str
    latent: float
    squared: float
    edges: float


def halve(video: Tensor) -> Tensor:
    """`b c f h w` at half the size by area averaging: the low-resolution video of a training pair."""
    return functional.avg_pool3d(video, (1, 2, 2))


class UpsamplerTask:
    """See `Task`."""

    part = "upsampler"

    def __init__(self, model: dict[str, Any], objective: dict[str, Any]) -> None:
        self.objective: UpsamplerObjective = build(UpsamplerObjective, objective, "objective.")
        self.model = LatentUpsampler(build(UpsamplerConfig, model, "model."))
        self.vae = load_part(self.objective.vae, "vae")

    def samples(self, clips: ClipDataset) -> Dataset:
        return clips

    def start(self, clips: ClipDataset) -> None:
        pairs = (self._linear_pair(clips[k]) for k in range(START_SAMPLES))
        left = start_upsampler(self.model, pairs, scale=2.0)
        log.info("linear start leaves %.3f of the squared error of bilinear", left)

    @torch.no_grad()
    def _linear_pair(self, sample: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        video = to_signed(sample["video"])[None]
        clean = self.vae.encode(video)
        return bilinear(self.vae.encode(halve(video)), scale=2.0, height=clean.shape[-2], width=clean.shape[-1]), clean

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        video = to_signed(batch["video"])
        clean, upsampled = self._pair(video)
        decoded = self.vae.decode(upsampled).float()
        latent = functional.mse_loss(upsampled.float(), clean.float())
        squared = functional.mse_loss(decoded, video)
        edges = edge_loss(decoded, video)
        total = self.objective.latent * latent + self.objective.squared * squared + self.objective.edges * edges
        psnr = 10 * (4 / squared.detach()).log10()
        return total, {"psnr": float(psnr), "latent": float(latent.detach()), "edges": float(edges.detach())}

    def _pair(self, video: Tensor) -> tuple[Tensor, Tensor]:
        clean = self.vae.encode(video)
        low = self.vae.encode(halve(video))
        return clean, self.model(low, scale=2.0, height=clean.shape[-2], width=clean.shape[-1])

    def part_config(self) -> dict[str, Any]:
        return dataclasses.asdict(self.model.config)

    @torch.no_grad()
    def statistics(self, clips: ClipDataset) -> dict[str, Any]:
        """`residual_std`: root mean square of clean minus upsampled latent, a figure for each channel."""
        squares = []
        for k in range(STATISTICS_SAMPLES):
            clean, upsampled = self._pair(to_signed(clips[k]["video"])[None])
            squares.append((clean - upsampled).square().mean(dim=(0, 2, 3, 4)))
        return {"residual_std": torch.stack(squares).mean(dim=0).sqrt().tolist()}
