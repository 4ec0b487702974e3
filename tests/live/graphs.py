"""Prompts in ComfyUI's API format, written as calls, and what their probes have measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

# What suits the bundled nano: class-free, three steps.
NANO = {
    "steps": 3,
    "sampler_name": "euler",
    "scheduler": "simple",
    "shift": 0.3,
    "s_txt": 0.0,
    "s_ref": 0.0,
    "n_ref": 0,
}


@dataclass(frozen=True)
class Node:
    """A node of a graph. As an input it stands for its first output; `node[i]` is output i."""

    id: str

    def __getitem__(self, output: int) -> list[str | int]:
        return [self.id, output]


class Graph:
    """Collects nodes.

    Attributes:
        prompt: what `POST /prompt` takes.
    """

    def __init__(self) -> None:
        self.prompt: dict[str, dict[str, Any]] = {}

    def add(self, class_type: str, **inputs: Any) -> Node:
        """A new node; inputs that are None are left unconnected."""
        node = Node(str(len(self.prompt) + 1))
        given = {name: value[0] if isinstance(value, Node) else value for name, value in inputs.items()}
        given = {name: value for name, value in given.items() if value is not None}
        self.prompt[node.id] = {"class_type": class_type, "inputs": given}
        return node

    def latent(self, **changes: Any) -> Node:
        """A random latent; by default one that a Wan model could have made, two latent frames of 8 x 8 cells."""
        size = {"channels": 16, "frames": 2, "height": 8, "width": 8, "batch": 1}
        return self.add("GVRTestLatent", **{**size, "seed": 0, "kind": "random", "mean": 0.0, "std": 1.0, **changes})

    def text(self, text: str, *, pooled: bool = False) -> Node:
        """An encoded prompt."""
        return self.add("GVRTestTextEncode", text=text, tokens=512, pooled=pooled)

    def probe(self, value: Any, name: str = "") -> Node:
        """A measurement, read with `measured`; with a name the tensors are written to the output folder too."""
        return self.add("GVRTestProbe", value=value, name=name)

    def load(self, checkpoint: str = "nano (bundled)", weight_dtype: str = "fp32") -> Node:
        """A cascade: MODEL, VAE."""
        return self.add("GVRLoadCascade", checkpoint=checkpoint, weight_dtype=weight_dtype)

    def upsample(self, samples: Any, model: Any = None, **changes: Any) -> Node:
        """Latent Cascade Upsample by 2: positive, negative, latent, upsampled."""
        settings = {"target": "scale", "scale": 2.0, "noise_aug": -1.0, "seed": 0, "upsampler": "latent"}
        return self.add("GVRLatentCascadeUpsample", samples=samples, model=model, **{**settings, **changes})

    def sample(self, model: Any, positive: Any, negative: Any, latent: Any, **changes: Any) -> Node:
        """Multi-CFG Sampler with its defaults."""
        settings = {"seed": 0, "steps": 50, "sampler_name": "pndm", "scheduler": "simple", "shift": 0.0, "denoise": 1.0}
        settings |= {"s_txt": 3.0, "s_ref": 1.0, "n_ref": 15, "null_reference": "drop"}
        wires = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
        return self.add("GVRMultiCFGSampler", **wires, **{**settings, **changes})

    def encode(self, images: Any, vae: Any) -> Node:
        """Encode Video (GVR)."""
        return self.add("GVREncodeVideo", images=images, vae=vae)

    def decode(self, samples: Any, vae: Any) -> Node:
        """Decode Video (GVR), whole."""
        tiles = {"tile_size": 0, "overlap": 64, "temporal_size": 64, "temporal_overlap": 8}
        return self.add("GVRDecodeVideo", samples=samples, vae=vae, **tiles)

    def nano(self, samples: Any, model: Any, *, sampler: dict[str, Any] | None = None, **upsample: Any) -> Node:
        """Upsample and sample with nano; the changes in `sampler` are the sampler's."""
        up = self.upsample(samples, model, **upsample)
        return self.sample(model, up[0], up[1], up[2], **{**NANO, **(sampler or {})})


def measured(entry: dict[str, Any], probe: Node, key: str = "") -> dict[str, Any]:
    """What a probe says of the value at a path, such as `/samples`: shape, mean, std, min, max, file; or value."""
    found = json.loads(entry["outputs"][probe.id]["gvr_probe"][0])
    assert key in found, f"the probe has found {', '.join(found)}"
    return found[key]
