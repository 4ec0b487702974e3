"""The folder that a command fills: a plan, a tar shard and a manifest for each unit of work, one index at the end.

The plan holds everything that decides the bytes, so a folder is never filled with two configurations. A shard counts
as done when its manifest is there, which is written last; whatever a killed process left is made again. A manifest also
names what its shard was made from, so a shard whose clips or samples are others now is made again too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
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

    def is_there(self, shard: int) -> bool:
        """Whether manifest and tar are there, without a look into them."""
        return self.manifest(shard).is_file() and self.tar(shard).is_file()

    def is_done(self, shard: int, inputs: Callable[[int], str] | None = None) -> bool:
        """True when manifest and tar are there and fit together and, if `inputs` tells what the shard would be made
        from now, were made from that."""
        try:
            manifest, _ = self._read(shard, with_tar=True)
        except _NotDoneError:
            return False
        return inputs is None or manifest.get("inputs", "") == inputs(shard)

    def origin(self, shard: int) -> tuple[str, str]:
        """The `inputs` of `finish_shard`, and what stands for the shard: the `inputs` of a later stage.

        The manifest is enough for both, the tar may have been deleted to make room.

        Raises:
            ValueError: the shard was never done.
        """
        manifest, data = self._read(shard, with_tar=False)
        return manifest.get("inputs", ""), hashlib.sha256(data).hexdigest()[:16]

    def read_manifest(self, shard: int) -> dict[str, Any]:
        """What `finish_shard` wrote.

        Raises:
            ValueError: the shard is not done, or its tar is not there any more.
        """
        return self._read(shard, with_tar=True)[0]

    def versions(self, shards: Iterable[int] | None = None) -> list[tuple[int, int] | None]:
        """Changes whenever some job replaces a file of these shards (None: of any)."""
        shards = range(self.shards) if shards is None else shards
        return [_version(path) for shard in shards for path in (self.tar(shard), self.manifest(shard))]

    def _read(self, shard: int, *, with_tar: bool) -> tuple[dict[str, Any], bytes]:
        """A manifest and its bytes, read once. Raises _NotDoneError."""
        try:
            data = self.manifest(shard).read_bytes()
            manifest = json.loads(data)
        except FileNotFoundError:
            raise self._not_done(shard, "the shard is not there yet") from None
        except ValueError:
            raise self._not_done(shard, "the manifest is damaged") from None
        if manifest["digest"] != self.digest:
            raise self._not_done(shard, "the shard was made with another configuration")
        if with_tar:
            try:
                size = self.tar(shard).stat().st_size
            except FileNotFoundError:
                raise self._not_done(shard, "its tar file is not there any more") from None
            if size != manifest["bytes"]:
                raise self._not_done(shard, f"the tar file has {size} bytes instead of {manifest['bytes']}")
        return manifest, data

    def _not_done(self, shard: int, problem: str) -> _NotDoneError:
        return _NotDoneError(f"{self.manifest(shard)}: {problem}: give the command that fills this folder first")


class _NotDoneError(ValueError):
    """A shard is not there, or not whole."""


def make_stage(folder: Path, settings: dict[str, Any], shards: int) -> Stage:
    """The stage in a new folder, or in one that was begun with the same settings.

    Raises:
        ValueError: the folder was begun with others, the message names the first difference; or by another version.
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
    _check_format(folder, known)
    if known != plan:
        raise ValueError(
            f"{folder} was begun with other settings ({_difference(known, plan)}): choose another output, or "
            "delete this folder to make it anew"
        )
    return Stage(folder, settings, shards, digest(plan))


def open_stage(folder: Path, command: str, *, any_format: bool = False) -> Stage:
    """The stage in a folder that `command` has filled or is filling.

    Args:
        folder: where it is.
        command: named where there is none.
        any_format: also of another version: to read samples, not to make any.

    Raises:
        ValueError: there is none, or another version began it.
    """
    path = folder / "plan.json"
    if not path.is_file():
        raise ValueError(f"{folder} holds no shards: run `python -m train {command}` first")
    plan = _read_plan(path)
    if not any_format:
        _check_format(folder, plan)
    return Stage(folder, plan["settings"], plan["shards"], digest(plan))


def _check_format(folder: Path, plan: dict[str, Any]) -> None:
    """Raises ValueError where the shards of a folder are not as this version makes them."""
    if plan.get("format") != FORMAT:
        raise ValueError(
            f"{folder} was begun by another version of this program (format {plan.get('format')}, this one makes "
            f"{FORMAT}): finish it with that version, or begin anew with `prepare` and another output"
        )


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
