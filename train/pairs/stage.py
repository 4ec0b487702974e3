"""The folder that a command fills: a plan, a tar shard and a manifest for each unit of work, one index at the end.

The plan holds everything that decides the bytes, so a folder is never filled with two configurations. A shard counts
as done when its manifest is there, which is written last; whatever a killed process left is made again. A manifest also
names what its shard was made from, so a shard whose clips or samples are others now is made again too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .storage import StorageError, create_durably, remove_orphans, write_durably

FORMAT = 2
"""Of plans, manifests and samples; part of the digest."""


def to_json(value: Any) -> bytes:
    """JSON whose bytes depend on the value alone."""
    return (json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def digest(value: Any) -> str:
    """A short name for a value made of plain types."""
    return hashlib.sha256(to_json(value)).hexdigest()[:16]


@dataclass(frozen=True)
class Stage:
    """A folder and its plan.

    Attributes:
        folder: where the shards are.
        settings: everything that decides their bytes.
        shards: how many there are.
        digest: stands for settings and shards.
    """

    folder: Path
    settings: dict[str, Any]
    shards: int
    digest: str

    def tar(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:06d}.tar"

    def manifest(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:06d}.json"

    def pictures(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:06d}.pictures.json"

    @property
    def index(self) -> Path:
        return self.folder / "index.parquet"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def finish_shard(
        self, shard: int, *, inputs: str, samples: list[dict], items: list[dict], pictures: dict[str, str]
    ) -> None:
        """Declare a shard done, after its tar file is in place.

        Args:
            shard: its number.
            inputs: stands for what the shard was made from, asked for before the work began.
            samples: rows of the index, `offset` and `size` among them.
            items: what became of each clip.
            pictures: item name -> base64 JPEG for the report.
        """
        write_durably(self.pictures(shard), to_json(pictures))
        size = self.tar(shard).stat().st_size
        content = {"digest": self.digest, "inputs": inputs, "shard": shard, "bytes": size}
        write_durably(self.manifest(shard), to_json(content | {"samples": samples, "items": items}))

    def is_done(self, shard: int, inputs: Callable[[int], str] | None = None) -> bool:
        """True when manifest and tar are there and fit together and, if `inputs` tells what the shard would be made
        from now, were made from that."""
        if self._problem(shard) is not None:
            return False
        return inputs is None or self.made_from(shard) == inputs(shard)

    def made_from(self, shard: int) -> str:
        """The `inputs` of `finish_shard`; "" from an earlier version. Raises ValueError: the shard is not done."""
        return self.read_manifest(shard).get("inputs", "")

    def manifest_digest(self, shard: int) -> str:
        """Stands for a shard that is done: the `inputs` of a later stage. Raises ValueError: the shard is not done."""
        self.read_manifest(shard)
        return hashlib.sha256(self.manifest(shard).read_bytes()).hexdigest()[:16]

    def read_manifest(self, shard: int) -> dict[str, Any]:
        """What `finish_shard` wrote.

        Raises:
            ValueError: the shard is not done.
        """
        problem = self._problem(shard)
        if problem:
            raise ValueError(f"{self.manifest(shard)}: {problem}: give the command that fills this folder first")
        return json.loads(self.manifest(shard).read_bytes())

    def versions(self) -> list[tuple[int, int] | None]:
        """Changes whenever some job replaces a file of a shard."""
        files = (path for shard in range(self.shards) for path in (self.tar(shard), self.manifest(shard)))
        return [_version(path) for path in files]

    def _problem(self, shard: int) -> str | None:
        try:
            manifest = json.loads(self.manifest(shard).read_bytes())
            size = self.tar(shard).stat().st_size
        except FileNotFoundError:
            return "the shard is not there yet"
        except json.JSONDecodeError:
            return "the manifest is damaged"
        if manifest["digest"] != self.digest:
            return "the shard was made with another configuration"
        return None if manifest["bytes"] == size else f"the tar file has {size} bytes instead of {manifest['bytes']}"


def make_stage(folder: Path, settings: dict[str, Any], shards: int) -> Stage:
    """The stage in a new folder, or in one that was begun with the same settings.

    Raises:
        ValueError: the folder was begun with others; the message names the first difference.
        StorageError: the folder cannot be written.
    """
    plan = {"format": FORMAT, "settings": settings, "shards": shards}
    plan = json.loads(to_json(plan))  # tuples become lists, as they will be read
    path = folder / "plan.json"
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder {folder}: {error.strerror}, choose another output") from error
        create_durably(path, to_json(plan))
    remove_orphans(path)
    known = _read_plan(path)  # of another job, if several began at once
    if known != plan:
        raise ValueError(
            f"{folder} was begun with other settings ({_difference(known, plan)}): choose another output, or "
            "delete this folder to make it anew"
        )
    return Stage(folder, settings, shards, digest(plan))


def open_stage(folder: Path, command: str) -> Stage:
    """The stage in a folder that `command` has filled or is filling.

    Raises:
        ValueError: there is none.
    """
    path = folder / "plan.json"
    if not path.is_file():
        raise ValueError(f"{folder} holds no shards: run `python -m train {command}` first")
    plan = _read_plan(path)
    return Stage(folder, plan["settings"], plan["shards"], digest(plan))


def _version(path: Path) -> tuple[int, int] | None:
    try:
        info = path.stat()
    except FileNotFoundError:
        return None
    return info.st_ino, info.st_mtime_ns


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}): delete the folder and begin anew") from error


def _difference(old: Any, new: Any, where: str = "") -> str:
    """The first place where two plans differ, for people."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                return _difference(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    if where == "settings.clips":
        changed = sorted({*old} ^ {*new})
        return f"{len(changed)} clips are new or gone, the first is {changed[0]}"
    return f"{where.removeprefix('settings.')} was {_short(old)} and is {_short(new)} now"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
