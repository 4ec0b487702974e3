"""Inputs that several nodes have alike."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from . import host


def seed_input(tooltip: str) -> Any:
    """The seed, with ComfyUI's control of what happens to it after a run. The range is added to the tooltip."""
    return io.Int.Input(
        "seed", default=0, min=0, max=2**64 - 1, control_after_generate=True, tooltip=f"{tooltip} 0 to 2^64-1."
    )


def steps_input(default: int, tooltip: str) -> Any:
    """Number of sampling steps."""
    return io.Int.Input("steps", default=default, min=1, max=10000, tooltip=tooltip)


def scheduler_input(tooltip: str) -> Any:
    """One of ComfyUI's schedulers, those of other packs included."""
    return io.Combo.Input("scheduler", options=host.scheduler_names(), default="simple", tooltip=tooltip)
