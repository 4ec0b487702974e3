"""Calibrations of this machine on disk, as JSON: written whole, checked when read."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..whole_files import written_whole
from .estimate import Calibration
from .observed import Observed, merge

logger = logging.getLogger("gvr")
FORMAT = 1
LARGEST = 2**20
"""Bytes; a larger file is none of ours."""


def to_values(entries: list[Observed]) -> dict[str, Any]:
    """The entries as plain values that JSON can hold."""
    return {
        "format": FORMAT,
        "entries": [
            {
                "calibration": entry.calibration.to_dict(),
                "dim": entry.dim,
                "work": dict(entry.work),
                "runs": entry.runs,
            }
            for entry in entries
        ],
    }


def from_values(values: Any) -> list[Observed]:
    """The entries that `to_values` wrote.

    Raises:
        ValueError: anything else, naming what is wrong.
    """
    if not isinstance(values, Mapping) or set(values) != {"format", "entries"} or values["format"] != FORMAT:
        raise ValueError(f"expected an object with format {FORMAT} and entries: delete the file to calibrate again")
    if not isinstance(values["entries"], list):
        raise ValueError("entries is no list: delete the file to calibrate again")
    return [_entry(entry) for entry in values["entries"]]


def read_calibrations(path: Path) -> list[Observed]:
    """What is in the file; nothing, and a warning, where it cannot be used."""
    if not path.is_file():
        return []
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST} bytes")
        return from_values(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        logger.warning("the calibration in %s is not used (%s)", path, error)
        return []


def write_calibrations(path: Path, entries: list[Observed]) -> None:
    """Write the file; it appears whole or not at all. Raises OSError where it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(to_values(entries), indent=1), encoding="utf-8")


def add_run(path: Path, new: Observed) -> Observed:
    """Put a run into the file, merged with what is there of the same machine, dtype and width; returns the result."""
    entries = read_calibrations(path)
    for index, entry in enumerate(entries):
        if _key(entry) == _key(new):
            entries[index] = new = merge(entry, new)
            break
    else:
        entries.append(new)
    write_calibrations(path, entries)
    return new


def find(entries: list[Observed], *, machine: str, dtype: str, dim: int) -> tuple[Observed | None, bool]:
    """The entry for a model, and whether it fits exactly; of another width, the nearest on this machine and dtype."""
    own = [entry for entry in entries if (entry.calibration.machine, entry.calibration.dtype) == (machine, dtype)]
    if not own:
        return None, False
    nearest = min(own, key=lambda entry: abs(math.log(entry.dim / dim)))
    return nearest, nearest.dim == dim


def _key(entry: Observed) -> tuple[str, str, int]:
    return entry.calibration.machine, entry.calibration.dtype, entry.dim


def _entry(values: Any) -> Observed:
    if not isinstance(values, Mapping) or set(values) != {"calibration", "dim", "work", "runs"}:
        raise ValueError("an entry lacks calibration, dim, work or runs: delete the file to calibrate again")
    calibration, work = values["calibration"], values["work"]
    if not isinstance(calibration, Mapping) or not isinstance(work, Mapping):
        raise ValueError("calibration or work is no object: delete the file to calibrate again")
    for part in ("rates", "achieved", "extra_memory"):
        if not isinstance(calibration.get(part), Mapping):
            raise ValueError(f"calibration has no {part}: delete the file to calibrate again")
    for name in ("dim", "runs"):
        value = values[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} is {value!r}, expected a whole number of at least 1")
    for name, value in [*work.items(), *calibration["rates"].items()]:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value!r}, expected a number above 0")
    if not all(isinstance(calibration.get(name), str) for name in ("machine", "dtype")):
        raise ValueError("machine or dtype is no text")
    return Observed(
        calibration=Calibration.from_dict(calibration), dim=values["dim"], work=dict(work), runs=values["runs"]
    )
