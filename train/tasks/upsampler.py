"""Task `upsampler`: the latent upsampler alone, by latent and decoded-pixel losses behind a frozen VAE."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from gvr_core.checkpoints import load_part
from gvr_core.models.upsampler import LatentUpsampler, UpsamplerConfig, bilinear

from ..config import build
from ..data import open_clips, to_signed
from ..data.video_groups import VideoGroups
from ..fit_config import FitConfig
from ..linear_start import start_upsampler
from .cascade_sources import checkpoint_path, halve
from .vae import edge_loss

log = logging.getLogger("gvr")

START_SAMPLES, STATISTICS_SAMPLES = 96, 96


@dataclass(frozen=True, kw_only=True)
class UpsamplerObjective:
    """What the loss is made of.

    Attributes:
        vae: checkpoint with the frozen VAE.
        latent: weight of the squared error of latents.
        squared: weight of the squared error of decoded pixels.
        edges: weight of the error of their gradients.
        sharpen: unsharp masking of the target, 0 = off. The mean of all plausible videos, which squared errors lead
            to, is softer than each of them; a slightly sharpened target makes up for it.
    """

    vae: str
    latent: float
    squared: float
    edges: float
    sharpen: float


def sharpen(video: Tensor, amount: float) -> Tensor:
    """`b c f h w` in [-1, 1] plus `amount` times what a 5 x 5 binomial blur takes away, clamped."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=video.device) / 16
    channels = video.shape[1]
    kernel = (taps[:, None] * taps).expand(channels, 1, 1, 5, 5)
    padded = functional.pad(video, (2, 2, 2, 2, 0, 0), mode="replicate")
    blurred = functional.conv3d(padded, kernel, groups=channels)
    return (video + amount * (video - blurred)).clamp(-1, 1)


class UpsamplerTask:
    """See `Task`."""

    def __init__(self, config: FitConfig) -> None:
        self.config = config
        self.objective: UpsamplerObjective = build(UpsamplerObjective, config.objective, "objective.")
        self.model = LatentUpsampler(build(UpsamplerConfig, config.model, "model."))
        self.vae = load_part(checkpoint_path(self.objective.vae), "vae")
        self.frozen: tuple[nn.Module, ...] = (self.vae,)

    def groups(self, *, held_out: bool = False) -> Dataset:
        return VideoGroups(self.config, open_clips(self.config.data, held_out=held_out))

    def start(self) -> None:
        samples = self.groups()
        pairs = (self._linear_pair(samples.sample(k)) for k in range(START_SAMPLES))
        left = start_upsampler(self.model, pairs, scale=2.0)
        log.info("linear start leaves %.3f of the squared error of bilinear", left)

    @torch.no_grad()
    def _linear_pair(self, sample: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        video = to_signed(sample["video"])[None].to(self.model.conv_in.weight.device)
        goal = self.vae.encode(sharpen(video, self.objective.sharpen))
        low = self.vae.encode(halve(video))
        return bilinear(low, scale=2.0, height=goal.shape[-2], width=goal.shape[-1]).cpu(), goal.cpu()

    def loss(self, batch: dict[str, Any], *, sigma: float | None = None) -> tuple[Tensor, dict[str, float]]:
        video = to_signed(batch["video"])
        target = sharpen(video, self.objective.sharpen)
        goal, upsampled = self.vae.encode(target), self._upsample(video)
        decoded = self.vae.decode(upsampled).float()
        latent = functional.mse_loss(upsampled.float(), goal.float())
        squared = functional.mse_loss(decoded, target)
        edges = edge_loss(decoded, target)
        total = self.objective.latent * latent + self.objective.squared * squared + self.objective.edges * edges
        psnr = 10 * (4 / squared.detach()).log10()
        return total, {"psnr": float(psnr), "latent": float(latent.detach()), "edges": float(edges.detach())}

    def _upsample(self, video: Tensor) -> Tensor:
        cells = [n // self.vae.space.spatial for n in video.shape[-2:]]
        return self.model(self.vae.encode(halve(video)), scale=2.0, height=cells[0], width=cells[1])

    def modules(self) -> dict[str, nn.Module]:
        return {"upsampler": self.model}

    def part_configs(self) -> dict[str, dict[str, Any]]:
        return {"upsampler": dataclasses.asdict(self.model.config)}

    @torch.no_grad()
    def statistics(self) -> dict[str, Any]:
        """`residual_std`: root mean square of clean minus upsampled latent, a figure for each channel."""
        squares, samples = [], self.groups()
        for k in range(STATISTICS_SAMPLES):
            video = to_signed(samples.sample(k)["video"])[None]
            squares.append((self.vae.encode(video) - self._upsample(video)).square().mean(dim=(0, 2, 3, 4)))
        return {"residual_std": torch.stack(squares).mean(dim=0).sqrt().tolist()}
