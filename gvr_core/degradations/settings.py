"""What the configs of this package share: numbers with ranges, checked when made, and typed on a command line."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_S = TypeVar("_S", bound="Settings")


def number(default: Any, least: float, most: float) -> Any:
    """A dataclass field: a number from `least` to `most`, or a (low, high) pair of such numbers to draw from."""
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Checks every field against its type and, for `number` fields, its range.

    Raises:
        ValueError: a value of another type, out of its range, or a pair whose low end is above its high end.
    """

    def __post_init__(self) -> None:
        for name, kind in _kinds(type(self)).items():
            value, problem = getattr(self, name), None
            bounds = next(f.metadata for f in fields(self) if f.name == name)
            if get_origin(kind) is tuple:
                if not isinstance(value, (tuple, list)) or len(value) != 2:
                    problem = "two numbers, low and high"
                else:
                    # JSON has no tuples.
                    object.__setattr__(self, name, tuple(value))
                    problem = next(filter(None, (_wrong(v, get_args(kind)[0], bounds) for v in value)), None)
                    if problem is None and value[0] > value[1]:
                        problem = "the low end first"
            else:
                problem = _wrong(value, kind, bounds)
            if problem:
                raise ValueError(f"{type(self).__name__} {name} is {value!r}, expected {problem}")

    def with_fields(self: _S, assignments: Iterable[str]) -> _S:
        """The config with changes as a user types them: "strength=0.4", "ellipse_size=8,40", "preset=fast".

        One number for a pair is both its ends.

        Raises:
            ValueError: no `=`, an unknown name (the nearest one is told), text that is no such value, or a value out
                of its range.
        """
        kinds = _kinds(type(self))
        changes: dict[str, Any] = {}
        for assignment in assignments:
            name, equals, text = assignment.partition("=")
            name = name.strip()
            if not equals:
                raise ValueError(f"{assignment!r} is no setting: write name=value, for example {self._example()}")
            if name not in kinds:
                near = get_close_matches(name, kinds, n=1)
                known = f"did you mean {near[0]}?" if near else f"there are {', '.join(kinds)}"
                raise ValueError(f"{type(self).__name__} has no setting {name!r}: {known}")
            if name in changes:
                raise ValueError(f"{name} is given twice: keep one of them")
            changes[name] = _parse(name, text.strip(), kinds[name])
        return replace(self, **changes)

    def _example(self) -> str:
        name = fields(self)[0].name
        value = getattr(self, name)
        return f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"


def _kinds(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls)}


def _wrong(value: Any, kind: Any, bounds: Any) -> str | None:
    """What was expected instead of `value`, or None."""
    if get_origin(kind) is Literal:
        return None if value in get_args(kind) else f"one of {', '.join(map(str, get_args(kind)))}"
    if kind is bool:
        return None if isinstance(value, bool) else "true or false"
    what = "a whole number" if kind is int else "a number"
    if "least" in bounds:
        what += f" from {bounds['least']:g} to {bounds['most']:g}"
    allowed = (int,) if kind is int else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool) or not math.isfinite(value):
        return what
    return None if bounds.get("least", value) <= value <= bounds.get("most", value) else what


def _parse(name: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        parts = [_parse(name, part.strip(), get_args(kind)[0]) for part in text.split(",")]
        return tuple(parts * 2 if len(parts) == 1 else parts)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{name}={text}: expected true or false")
        return text.lower() == "true"
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError as error:
            raise ValueError(f"{name}={text}: expected {'a whole number' if kind is int else 'a number'}") from error
    return text
