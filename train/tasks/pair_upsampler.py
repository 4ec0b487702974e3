"""Task `upsampler` on pairs of latents: no VAE takes part, so it takes minutes for any latent space."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from gvr_core.models.upsampler import LatentUpsampler, UpsamplerConfig, bilinear

from ..config import build
from ..data.pair_groups import PairGroups
from ..fit_config import FitConfig
from ..linear_start import start_upsampler
from ..pairs import PairShards
from .upsampler import UpsamplerObjective

log = logging.getLogger("gvr")

START_GROUPS, STATISTICS_GROUPS = 96, 96


class PairUpsamplerTask:
    """See `Task`."""

    def __init__(self, config: FitConfig) -> None:
        """Raises ValueError where the objective needs pixels, or model and pairs are of two latent spaces."""
        self.config = config
        self.objective: UpsamplerObjective = build(UpsamplerObjective, config.objective, "objective.")
        if self.objective.vae or self.objective.squared or self.objective.edges or self.objective.sharpen:
            raise ValueError(
                "pairs of latents have no pixels: set objective.vae to '' and objective.squared, edges and sharpen to 0"
            )
        self.pairs = PairShards(config.data.root)
        self.model = LatentUpsampler(build(UpsamplerConfig, {"space": self.pairs.space, **config.model}, "model."))
        if self.model.config.space != self.pairs.space:
            raise ValueError(f"model.space is {self.model.config.space}, the pairs are of {self.pairs.space}")
        self.frozen: tuple[nn.Module, ...] = ()

    def groups(self, *, held_out: bool = False) -> Dataset:
        return PairGroups(self.config, self.pairs, route="latent", held_out=held_out)

    @torch.no_grad()
    def start(self) -> None:
        scales = {scale_of(batch) for batch in self._batches(START_GROUPS)}
        if len(scales) > 1:
            raise ValueError(
                f"the pairs have factors {', '.join(f'{s:g}' for s in sorted(scales))}, an upsampler is started for "
                "one: choose data.variants of one factor"
            )
        scale = scales.pop()
        left = start_upsampler(self.model, (_linear_pair(batch) for batch in self._batches(START_GROUPS)), scale=scale)
        log.info("linear start leaves %.3f of the squared error of bilinear", left)

    def _batches(self, count: int) -> Iterator[dict[str, Any]]:
        groups = self.groups()
        return (groups[g] for g in range(count))

    def loss(self, batch: dict[str, Any], *, sigma: float | None = None) -> tuple[Tensor, dict[str, float]]:
        latent = functional.mse_loss(self._upsample(batch).float(), batch["clean"].float())
        with torch.no_grad():
            plain = functional.mse_loss(enlarged(batch).float(), batch["clean"].float())
        figures = {"latent": float(latent.detach()), "of_bilinear": float(latent.detach() / plain)}
        return self.objective.latent * latent, figures

    def _upsample(self, batch: dict[str, Any]) -> Tensor:
        height, width = batch["clean"].shape[-2:]
        return self.model(batch["low"], scale=scale_of(batch), height=height, width=width)

    def modules(self) -> dict[str, nn.Module]:
        return {"upsampler": self.model}

    def part_configs(self) -> dict[str, dict[str, Any]]:
        return {"upsampler": dataclasses.asdict(self.model.config)}

    @torch.no_grad()
    def statistics(self) -> dict[str, Any]:
        """`residual_std`: root mean square of clean minus upsampled latent, a figure for each channel."""
        device = self.model.conv_in.weight.device
        squares = []
        for batch in self._batches(STATISTICS_GROUPS):
            batch = {name: value.to(device) for name, value in batch.items() if name in ("clean", "low")}
            squares.append((batch["clean"] - self._upsample(batch)).square().mean(dim=(0, 2, 3, 4)))
        return {"residual_std": torch.stack(squares).mean(dim=0).sqrt().tolist()}


def scale_of(batch: dict[str, Any]) -> float:
    """Spatial factor between the latents of a batch."""
    return batch["clean"].shape[-2] / batch["low"].shape[-2]


def enlarged(batch: dict[str, Any]) -> Tensor:
    """The low-resolution latents, bilinearly on the grid of the clean ones."""
    height, width = batch["clean"].shape[-2:]
    return bilinear(batch["low"], scale=scale_of(batch), height=height, width=width)


def _linear_pair(batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    return enlarged(batch), batch["clean"]
