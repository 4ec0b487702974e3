"""What the page asks, checked: requests come from anywhere, and a wrong one gets a sentence and no traceback."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def number(question: Mapping[str, Any], name: str, low: float, high: float, default: float | None = None) -> float:
    """A number of a question, from its text too. Raises ValueError where it is missing or out of range."""
    value = question.get(name)
    if value is None or value == "":
        value = default
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}, expected a number from {low:g} to {high:g}") from None
    if not (math.isfinite(found) and low <= found <= high):
        raise ValueError(f"{name} is {found:g}, expected {low:g} to {high:g}")
    return found


def integer(question: Mapping[str, Any], name: str, low: int, high: int, default: int | None = None) -> int:
    """A whole number of a question. Raises ValueError as `number`."""
    found = number(question, name, low, high, default)
    if found != int(found):
        raise ValueError(f"{name} is {found:g}, expected a whole number from {low} to {high}")
    return int(found)


def flag(question: Mapping[str, Any], name: str, default: bool) -> bool:
    """Yes or no: true, false, 1 or 0, as text too."""
    value = question.get(name)
    if value is None or value == "":
        return default
    if str(value).lower() in ("true", "1"):
        return True
    if str(value).lower() in ("false", "0"):
        return False
    raise ValueError(f"{name} is {value!r}, expected true or false")


def part(question: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """An object inside a question, None where there is none. Raises ValueError for anything else."""
    value = question.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"{name} is a {type(value).__name__}, expected an object")
    return value
