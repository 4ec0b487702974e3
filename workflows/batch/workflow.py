"""A workflow in API format: finds nodes, takes settings, and becomes the prompt of one job."""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_INPUTS = {"LoadVideo": "file", "LoadImage": "image", "VHS_LoadVideo": "video", "LoadLatent": "latent"}
SEED_INPUTS = ("seed", "noise_seed")


@dataclass(frozen=True)
class Slot:
    """One input of one node."""

    node: str
    input: str

    def __str__(self) -> str:
        return f"{self.node}.{self.input}"


def is_link(value: Any) -> bool:
    """Whether an input's value comes from another node: `[node id, output index]`."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` or `; there are ...`, to end an error message with."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known) or 'none'}"


def parse_value(text: str, present: Any) -> Any:
    """JSON where the text is JSON, else the text. What replaces a text stays one: lists of choices hold `"1080"`."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        value = json.loads(text, parse_constant=refuse)
    except ValueError:
        return text
    return text if isinstance(present, str) and not isinstance(value, str) else value


class Workflow:
    """`nodes` as ComfyUI's Export (API) writes them: `{id: {"class_type", "inputs", "_meta": {"title"}}}`."""

    def __init__(self, nodes: dict[str, dict], name: str) -> None:
        self.nodes, self.name = nodes, name

    @classmethod
    def load(cls, path: Path) -> Workflow:
        """The workflow in a file. Raises ValueError when it is not there, not JSON, or not in API format."""
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise ValueError(f"cannot read the workflow {path}: {error}") from error
        if isinstance(content, dict) and isinstance(content.get("nodes"), list):
            raise ValueError(
                f"{path} is a workflow in UI format, but a server needs API format: "
                "open it in ComfyUI and save it with Workflow > Export (API)"
            )
        if not isinstance(content, dict) or not content:
            raise ValueError(f"{path} is no workflow: expected what Workflow > Export (API) writes")
        for node_id, node in content.items():
            if not isinstance(node, dict) or "class_type" not in node or not isinstance(node.get("inputs"), dict):
                raise ValueError(
                    f"{path} is no workflow in API format: {node_id!r} has no class_type and inputs; "
                    "save it with Workflow > Export (API)"
                )
        return cls(content, path.stem)

    def title(self, node_id: str) -> str:
        """The node's title, its class where it has none; for a node inside a subgraph (`12:3`) that of the subgraph."""
        node = self.nodes.get(node_id) or self.nodes.get(node_id.split(":")[0].split(".")[0]) or {}
        return node.get("_meta", {}).get("title") or node.get("class_type") or node_id

    def find(self, name: str) -> str:
        """Id of the node with this id, this title or this class. Raises ValueError when that is none or several."""
        if name in self.nodes:
            return name
        titles = {node_id: node.get("_meta", {}).get("title", "") for node_id, node in self.nodes.items()}
        classes = {node_id: node["class_type"] for node_id, node in self.nodes.items()}
        for names in (titles, classes):
            found = [node_id for node_id, other in names.items() if other == name]
            if len(found) == 1:
                return found[0]
            if found:
                raise ValueError(f"{name!r} means several nodes: {', '.join(found)}; give the id of one")
        known = filter(None, [*self.nodes, *titles.values(), *classes.values()])
        raise ValueError(f"there is no node {name!r} in the workflow{nearest(name, known)}")

    def slot(self, address: str) -> Slot:
        """The input behind `NODE.input`; both may contain dots. Raises ValueError for an unknown node or input."""
        if "." not in address:
            raise ValueError(f"{address!r} names no input: expected NODE.input")
        cuts = [i for i, letter in enumerate(address) if letter == "."]
        problem = None
        for cut in reversed(cuts):
            name, input_name = address[:cut], address[cut + 1 :]
            try:
                node_id = self.find(name)
            except ValueError as error:
                problem = problem or error
                continue
            inputs = self.nodes[node_id]["inputs"]
            if input_name in inputs:
                return Slot(node_id, input_name)
            problem = ValueError(f"node {name!r} has no input {input_name!r}{nearest(input_name, inputs)}")
        raise problem

    def set(self, assignment: str) -> None:
        """Puts in `NODE.input=value`."""
        address, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"--set {assignment!r} has no value: expected NODE.input=value")
        slot = self.slot(address.strip())
        inputs = self.nodes[slot.node]["inputs"]
        inputs[slot.input] = parse_value(text, inputs[slot.input])

    def file_slot(self, address: str | None) -> Slot:
        """Where an input file goes: the named input, else the only one of the known loaders."""
        if address is not None:
            return self.slot(address)
        loaders = [
            Slot(node_id, FILE_INPUTS[node["class_type"]])
            for node_id, node in self.nodes.items()
            if node["class_type"] in FILE_INPUTS and not is_link(node["inputs"].get(FILE_INPUTS[node["class_type"]]))
        ]
        if len(loaders) == 1:
            return loaders[0]
        known = ", ".join(f"{name}.{input_name}" for name, input_name in FILE_INPUTS.items())
        if not loaders:
            raise ValueError(f"no node takes the files of --inputs (looked for {known}); name one with --input-node")
        listed = ", ".join(f"{slot} ({self.title(slot.node)})" for slot in loaders)
        raise ValueError(f"several nodes could take the files of --inputs: {listed}; name one with --input-node")

    def seed_slots(self, addresses: list[str]) -> list[Slot]:
        """Where a seed goes: the named inputs (`NODE.input`, or a NODE with a seed), else every free seed there is."""
        if addresses:
            return [slot for address in addresses for slot in self._seeds_at(address)]
        if not (found := [slot for node_id in self.nodes for slot in self._seeds_of(node_id)]):
            raise ValueError("no node has a seed for --seeds that is not connected; name an input with --seed-node")
        return found

    def _seeds_at(self, address: str) -> list[Slot]:
        try:
            node_id = self.find(address)
        except ValueError:
            if "." not in address:
                raise
            return [self.slot(address)]
        if not (found := self._seeds_of(node_id)):
            raise ValueError(f"--seed-node {address!r} has no free seed; name one of its inputs: {address}.INPUT")
        return found

    def _seeds_of(self, node_id: str) -> list[Slot]:
        inputs = self.nodes[node_id]["inputs"]
        return [Slot(node_id, name) for name in SEED_INPUTS if name in inputs and not is_link(inputs[name])]

    def filled(self, values: Mapping[Slot, Any]) -> dict[str, dict]:
        """A copy of the nodes with these values in."""
        nodes = copy.deepcopy(self.nodes)
        for slot, value in values.items():
            nodes[slot.node]["inputs"][slot.input] = value
        return nodes

    def fingerprint(self, open_slots: Iterable[Slot]) -> str:
        """Hash of all that decides the result, without what differs from job to job and without titles."""
        nodes = self.filled(dict.fromkeys(open_slots))
        essence = {node_id: [node["class_type"], node["inputs"]] for node_id, node in nodes.items()}
        return hashlib.sha256(json.dumps(essence, sort_keys=True).encode()).hexdigest()
