"""A rendered clip for demonstrations and tests, free of rights and needing no file."""

from .clip import render_sample_clip

__all__ = ["render_sample_clip"]
