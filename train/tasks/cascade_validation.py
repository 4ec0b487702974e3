"""Held-out groups sampled with the weights of the moment: how far they are from the truth, and a video to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from gvr_core.cascade import Conditions, Settings, denoise
from gvr_core.guidance import MultiGuidance
from gvr_core.metrics import psnr
from gvr_core.video import VideoWriter

if TYPE_CHECKING:
    from .cascade import CascadeTask

STEPS, FPS = 20, 12
"""Euler steps of a validation run, and the rate of its videos."""


@torch.no_grad()
def sample_held_out(task: CascadeTask, output: Path, step: int) -> dict[str, float]:
    """Sample `validation.videos` held-out groups and compare with the truth.

    Where the task has a VAE, `output/validation/step-N-group-K.mp4` shows condition, sample and truth side by side.

    Returns:
        Means of `latent_mse`, of `latent_mse_condition` (before the model), and with a VAE of `psnr` and
        `psnr_condition` in dB.
    """
    groups = task.groups(held_out=True)
    device = next(task.model.parameters()).device
    figures: list[dict[str, float]] = []
    for number in range(task.config.validation.videos):
        batch = {name: v.to(device) if isinstance(v, Tensor) else v for name, v in groups[number].items()}
        condition, sample = sample_group(task, batch, seed=number)
        clean = batch["clean"].float()
        figures.append(
            {
                "latent_mse": float(functional.mse_loss(sample, clean)),
                "latent_mse_condition": float(functional.mse_loss(condition, clean)),
            }
        )
        if task.source.decode is not None:
            target = output / "validation" / f"step-{step:08d}-group-{number}.mp4"
            figures[-1] |= _compare(task.source.decode, condition, sample, clean, target)
    return {name: float(np.mean([f[name] for f in figures])) for name in figures[0]} if figures else {}


def sample_group(task: CascadeTask, batch: dict[str, Any], *, seed: int) -> tuple[Tensor, Tensor]:
    """Condition before noise, and what the model makes of it, `b c t h w` float32 each."""
    low, high = task.objective.noise_aug
    settings = Settings(
        num_steps=STEPS,
        solver="euler",
        shift=task.objective.timesteps.shift,
        start=1.0,
        noise_aug=(low + high) / 2,
        seed=seed,
        guidance=MultiGuidance(s_txt=0.0, s_ref=0.0, n_ref=0),
    )
    references, times = task.references(batch)
    text = batch.get("text") if task.model.dit.config.text_dim else None
    conditions = Conditions(text=text, null_text=text, references=references, reference_times=times)
    condition = task.condition(batch).float()
    return condition, denoise(task.model.dit, condition, settings, conditions).clone()


def _compare(decode: Any, condition: Tensor, sample: Tensor, clean: Tensor, target: Path) -> dict[str, float]:
    """Write the first sample of the group as a video and measure it."""
    pictures = []
    for latent in (condition, sample, clean):
        video = decode(latent[:1])[0].float().cpu().clamp(-1, 1)
        pictures.append(rearrange(((video + 1) * 127.5).round().to(torch.uint8), "c f h w -> f h w c").numpy())
    target.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[1:3]
    with VideoWriter(target, width=3 * width, height=height, fps=FPS) as writer:
        writer.write(np.concatenate(pictures, axis=2))
    return {"psnr": psnr(pictures[1], pictures[2]), "psnr_condition": psnr(pictures[0], pictures[2])}
