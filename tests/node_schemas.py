"""The nodes' schemas without a ComfyUI: the pack is loaded as ComfyUI does it, over stand-ins for the host's modules.

`define_schema` is really run, so what is read here is what a host gets (compared with one in
`tests/live/test_node_schemas.py`).
"""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACK = "gvr_pack_of_tests"
HOST = (
    "aiohttp",
    "comfy",
    "comfy_api",
    "comfy_execution",
    "execution",
    "folder_paths",
    "latent_preview",
    "nodes",
    "server",
)


@dataclass
class Slot:
    """An input or output of a node."""

    kind: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def tooltip(self) -> str:
        return self.options.get("tooltip", "")


@dataclass
class Schema:
    """What the nodes give to `io.Schema`; fields not named here are left out, as on an old host."""

    node_id: str
    display_name: str
    category: str
    description: str = ""
    inputs: list[Slot] = field(default_factory=list)
    outputs: list[Slot] = field(default_factory=list)
    hidden: list[Any] = field(default_factory=list)
    is_output_node: bool = False


class StandIn(type):
    """A class that has every attribute, is empty when iterated, and passes on what it decorates."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(cls, name, stand_in(name))
        return getattr(cls, name)

    def __iter__(cls):
        return iter(())

    def __getitem__(cls, _):
        return (stand_in("paths"), set())

    def __setitem__(cls, *_):
        pass

    def __fspath__(cls):
        return cls.__name__

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "is_stand_in" not in vars(cls):
            return super().__call__(*args, **kwargs)
        return args[0] if len(args) == 1 and isinstance(args[0], types.FunctionType) else cls


def stand_in(name: str) -> Any:
    """A class of the host that may be called, subclassed, iterated and asked for anything."""
    return StandIn(name, (), {"is_stand_in": True})


class SlotType:
    """`io.Image` and its like: makes slots."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def Input(self, name: Any, **options: Any) -> Slot:
        types_ = options.pop("types", None)
        kind = ",".join(entry.kind for entry in types_) if types_ else self.kind
        if isinstance(name, Slot):  # MultiType takes a whole input for its name and its options
            return Slot(kind, name.name, {**name.options, **options})
        return Slot(kind, name, options)

    def Output(self, name: str | None = None, **options: Any) -> Slot:
        return Slot(self.kind, options.get("display_name") or name or self.kind, options)


class HostModule(types.ModuleType):
    """A module of the host."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = stand_in(name)
        setattr(self, name, value)
        return value


class IoModule(types.ModuleType):
    """`comfy_api.latest.io`."""

    Schema, ComfyNode, Hidden = Schema, type("ComfyNode", (), {}), stand_in("Hidden")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name) if name in ("NodeOutput", "FolderType") else SlotType(name.upper())

    @staticmethod
    def Custom(kind: str) -> SlotType:
        return SlotType(kind)


class HostFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a stand-in for every module of the host."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.split(".")[0] not in HOST:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> types.ModuleType:
        module = HostModule(spec.name)
        if spec.name == "comfy_api.latest":
            module.io = IoModule("io")
            module.ComfyExtension = type("ComfyExtension", (), {})
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing in it."""


@cache
def _load() -> tuple[dict[str, types.ModuleType], dict[str, Schema]]:
    """The pack's modules by name, and its nodes' schemas."""
    finder, before = HostFinder(), set(sys.modules)
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in HOST}
    sys.meta_path.insert(0, finder)
    try:
        spec = importlib.util.spec_from_file_location(
            PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        pack = importlib.util.module_from_spec(spec)
        sys.modules[PACK] = pack
        spec.loader.exec_module(pack)
        schemas = [node.define_schema() for node in asyncio.run(_nodes(pack))]
    finally:
        sys.meta_path.remove(finder)
        new = [name for name in set(sys.modules) - before if name.split(".")[0] in (*HOST, PACK)]
        loaded = {name: sys.modules.pop(name) for name in new}
        sys.modules.update(hidden)
    modules = {name[len(PACK) + 1 :]: module for name, module in loaded.items() if name.split(".")[0] == PACK}
    return modules, {schema.node_id: schema for schema in schemas}


def pack_modules() -> dict[str, types.ModuleType]:
    """The pack's modules by their names inside it, such as `nodes.guidance`, over stand-ins for the host's."""
    return _load()[0]


def node_schemas() -> dict[str, Schema]:
    """Node id -> schema, of all nodes in the order of the pack."""
    return _load()[1]


async def _nodes(pack: Any) -> list[Any]:
    extension = await pack.comfy_entrypoint()
    return await extension.get_node_list()
