"""Task `cascade`: the diffusion transformer, the latent upsampler trained with it or frozen (S 3, 4.1; U 3)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.data import Dataset

from gvr_core import flow
from gvr_core.models.dit import TIMESTEPS, DiT
from gvr_core.models.preconditioning import precondition
from gvr_core.models.upsampler import LatentUpsampler
from gvr_core.references import time_indices

from ..config import build
from ..data.clips import to_signed
from ..fit_config import FitConfig
from ..lora import add_adapters
from ..noise import batch_noise, sample_generators
from ..timesteps import TimestepSampler
from .cascade_config import CascadeObjective
from .cascade_sources import Source, make_source
from .cascade_start import build_model, start_model
from .cascade_validation import sample_held_out


class CascadeModel(nn.Module):
    """The trained parts: `dit`, and `upsampler` where it is trained with it (S 4.1)."""

    def __init__(self, dit: DiT, upsampler: LatentUpsampler | None) -> None:
        super().__init__()
        self.dit, self.upsampler = dit, upsampler


class CascadeTask:
    """See `Task`."""

    def __init__(self, config: FitConfig) -> None:
        self.config = config
        self.objective: CascadeObjective = build(CascadeObjective, config.objective, "objective.")
        self.timesteps = TimestepSampler(self.objective.timesteps)
        self.source: Source = make_source(config, self.objective)
        self.model = CascadeModel(*build_model(config, self.source))
        self.model.dit.gradient_checkpointing = config.gradient_checkpointing
        self.frozen = self.source.frozen
        self._groups: dict[bool, Dataset] = {}
        if config.trainable == "lora":
            # The base is not in the checkpoints of such a run, so it is loaded here and not in `start`.
            start_model(self.model.dit, self.model.upsampler, config)
            add_adapters(self.model, config.lora, bf16_base=config.precision == "bf16")

    def groups(self, *, held_out: bool = False) -> Dataset:
        # Kept: every look at the held-out clips would open, name and sort them anew.
        if held_out not in self._groups:
            self._groups[held_out] = self.source.groups(held_out=held_out)
        return self._groups[held_out]

    def start(self) -> None:
        if self.config.trainable == "all":
            start_model(self.model.dit, self.model.upsampler, self.config)

    def loss(self, batch: dict[str, Any], *, sigma: float | None = None) -> tuple[Tensor, dict[str, float]]:
        clean = batch["clean"]
        generators = sample_generators(batch["noise_seed"])
        noise, condition_noise = (batch_noise(generators, clean.shape[1:], clean.device) for _ in range(2))
        tau = self._noise_levels(generators).to(clean.device)
        drawn = torch.stack([self.timesteps.draw(g) for g in generators]).to(clean.device)
        sigmas = drawn if sigma is None else torch.full_like(drawn, sigma)
        text = self._text(batch, generators)
        references, times = self.references(batch)

        condition = flow.interpolate(self.condition(batch), condition_noise, tau)
        x = flow.interpolate(clean, noise, sigmas)
        velocity = self.model.dit(
            x,
            TIMESTEPS * sigmas,
            text,
            condition=condition,
            noise_level=tau,
            references=references,
            reference_times=times,
        )
        error = (velocity.float() - flow.velocity(noise, clean)).square().mean(dim=(1, 2, 3, 4))
        residual_std = self.model.dit.config.residual_std
        if residual_std is not None:
            # The squared error of the clean estimate, divided by its expectation at this sigma and tau: every noise
            # level counts the same, and the channels count by the pixels they move.
            terms = precondition(x, condition, sigma=sigmas, noise_level=tau, residual_std=residual_std)
            error = error / (1 / terms.loss_weight).mean(dim=(1, 2, 3, 4))
        figures = {"sigma": float(sigmas.mean()), "tau": float(tau.mean()), "references": float(len(times))}
        return error.mean(), figures

    def _noise_levels(self, generators: list[torch.Generator]) -> Tensor:
        """tau for each sample, `(b,)`."""
        low, high = self.objective.noise_aug
        draws = torch.stack([torch.rand((), generator=g) for g in generators])
        return low + (high - low) * draws**self.objective.noise_aug_power

    def _text(self, batch: dict[str, Any], generators: list[torch.Generator]) -> Tensor | None:
        """The prompts' tokens `b n d`, some replaced by the empty prompt's."""
        if not self.model.dit.config.text_dim:
            return None
        dropped = torch.stack([torch.rand((), generator=g) for g in generators]) < self.objective.drop_text
        return torch.where(dropped.to(batch["text"].device)[:, None, None], batch["null_text"], batch["text"])

    def condition(self, batch: dict[str, Any]) -> Tensor:
        """The low-resolution latent on the grid of the clean one, before noise."""
        if "condition" in batch:
            return batch["condition"]
        low, (height, width) = batch["low"], batch["clean"].shape[-2:]
        upsampler = self.source.upsampler if self.model.upsampler is None else self.model.upsampler
        if upsampler is None:
            raise ValueError(
                "the samples hold low-resolution latents, but there is no upsampler: give model.upsampler, or "
                "objective.upsampler, or encode the pairs for the pixel route"
            )
        return upsampler(low, scale=height / low.shape[-2], height=height, width=width)

    @torch.no_grad()
    def references(self, batch: dict[str, Any]) -> tuple[Tensor | None, list[int]]:
        """Clean latents of the references `b c r h w` and their RoPE times; None and [] without."""
        latents, images, frames = [], 0, 0
        if "references" in batch:
            latents.append(batch["references"])
            images, frames = int(batch["num_images"]), int(batch["video_frames"])
        if "reference_images" in batch:
            pictures = batch["reference_images"]
            images = pictures.shape[1]
            encoded = self.source.encode(to_signed(rearrange(pictures, "b n c h w -> (b n) c 1 h w")))
            latents.append(rearrange(encoded, "(b n) c 1 h w -> b c n h w", n=images))
        if "reference_video" in batch:
            latents.append(self.source.encode(to_signed(batch["reference_video"])))
            frames = latents[-1].shape[2]
        if not latents:
            return None, []
        ranges = self.model.dit.config.reference_ranges
        _, times = time_indices(batch["clean"].shape[2], images, frames, ranges)
        return torch.cat(latents, dim=2), times

    def validate(self, output: Path, step: int) -> dict[str, float]:
        """Held-out groups sampled and compared with the truth; see `sample_held_out`."""
        return sample_held_out(self, output, step)

    def modules(self) -> dict[str, nn.Module]:
        parts = {"dit": self.model.dit, "upsampler": self.model.upsampler}
        return {name: module for name, module in parts.items() if module is not None}

    def part_configs(self) -> dict[str, dict[str, Any]]:
        configs = {"dit": self.model.dit.config.to_dict()}
        if self.model.upsampler is not None:
            configs["upsampler"] = dataclasses.asdict(self.model.upsampler.config)
        return configs

    def statistics(self) -> dict[str, Any]:
        return {} if self.timesteps.table is None else {"detail_table": self.timesteps.table.to_dict()}
