"""The typed configuration of a run: a preset or YAML file plus `key=value` overrides, every unknown key an error."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from pathlib import Path
from typing import Any

import yaml

PRESETS = Path(__file__).parent / "presets"


def build(cls: type, values: dict[str, Any], where: str = "") -> Any:
    """A frozen config dataclass from plain values; names of unknown, missing or ill-typed keys are in the error.

    Raises:
        ValueError: unknown key (with the nearest name), missing key, or a value of the wrong type.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}
    types = typing.get_type_hints(cls)
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f": did you mean {where}{near[0]}?" if near else f", expected one of {', '.join(fields)}"
            raise ValueError(f"unknown config key {where}{key}{hint}")
    needed = [
        n for n, f in fields.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    missing = [where + n for n in needed if n not in values]
    if missing:
        raise ValueError(f"config lacks {', '.join(missing)}")
    return cls(**{key: _convert(types[key], value, where + key) for key, value in values.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ValueError(f"config key {where} is {value!r}, expected a mapping")
        return build(kind, value, where + ".")
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"config key {where} is {value!r}, expected a list")
        return tuple(_convert(typing.get_args(kind)[0], v, where) for v in value)
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-4, without a point, as text
        except ValueError:
            raise ValueError(f"config key {where} is {value!r}, expected a number") from None
    plain = origin or kind
    if isinstance(plain, type) and (not isinstance(value, plain) or (plain is int and isinstance(value, bool))):
        raise ValueError(f"config key {where} is {value!r}, expected {plain.__name__}")
    return value


def load_config(cls: type, source: str, overrides: list[str]) -> Any:
    """The configuration named by a preset or YAML path, with `a.b=value` overrides (values are YAML).

    Raises:
        ValueError: no such preset or file, an override without `=`, or whatever `build` refuses.
    """
    path = Path(source) if Path(source).suffix in (".yaml", ".yml") else PRESETS / f"{source}.yaml"
    if not path.is_file():
        presets = ", ".join(sorted(p.stem for p in PRESETS.glob("*.yaml")))
        raise ValueError(f"no config {source!r}: give a .yaml file or one of the presets {presets}")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign:
            raise ValueError(f"override {override!r} has no '=': write key=value")
        target = values
        *parents, last = key.split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise ValueError(f"override {key}: {parent} is a value, not a group of keys")
        target[last] = yaml.safe_load(text) if text else ""
    return build(cls, values)
