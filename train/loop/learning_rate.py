"""The learning rate of a step."""

from __future__ import annotations

import math

from ..fit_config import OptimConfig


def learning_rate(optim: OptimConfig, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine that ends at `final` times the peak.

    Args:
        optim: its part of the config.
        step: number of the step, from 0.
        steps: of the whole run.
    """
    if step < optim.warmup_steps:
        return optim.learning_rate * (step + 1) / optim.warmup_steps
    progress = (step - optim.warmup_steps) / max(steps - optim.warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return optim.learning_rate * (optim.final + (1 - optim.final) * cosine)
