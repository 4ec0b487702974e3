"""Samples: clips decoded once, cut by the plan, encoded once where the task learns latents, or ready-made pairs."""

from .clips import SUFFIXES, Clips, open_clips, resize_short_side, to_signed

__all__ = ["SUFFIXES", "Clips", "open_clips", "resize_short_side", "to_signed"]
