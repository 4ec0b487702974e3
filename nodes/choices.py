"""Choices of a list, checked: ComfyUI 0.3.64 takes any text for them from the API."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def check_choice(name: str, value: str, options: Iterable[str]) -> None:
    """Raises ValueError where `value` is not among the options of the input called `name`."""
    options = list(options)
    if value not in options:
        near = get_close_matches(str(value), options, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(options)}"
        raise ValueError(f"{name} is {value!r}, which is no choice: {hint}")
