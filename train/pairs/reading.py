"""The reading side: sample k of a finished stage, found through the index, whatever was read before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor
from torch.utils.data import Dataset

from gvr_core.latent_values import normalize

from .encode import CLEAN, NULL_TEXT
from .parquet_index import read_index, row_at
from .stage import open_stage
from .tar_shards import read_sample


class StageSamples(Dataset):
    """Samples `(row of the index, members by ending)` of any stage: also the videos of `clips` and `degraded`."""

    def __init__(self, folder: Path | str, command: str) -> None:
        """Open the index.

        Raises:
            ValueError: the stage is not there or not finished.
        """
        self.folder = Path(folder)
        self.settings = open_stage(self.folder, command).settings
        if self.settings["command"] != command:
            raise ValueError(f"{folder} was made by {self.settings['command']}, expected {command}: give its folder")
        self.table = read_index(self.folder / "index.parquet")
        if not len(self.table):
            raise ValueError(f"{folder} holds no samples: its report says why every clip was left out")

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, k: int) -> tuple[dict[str, Any], dict[str, bytes]]:
        if not 0 <= k < len(self):
            raise IndexError(f"sample {k} of {len(self)}")
        row = row_at(self.table, k)
        return row, read_sample(self.folder / row["shard"], row["offset"], row["size"])


class PairShards(Dataset):
    """Pairs of latents made by `encode`.

    Item k is `{"clean": c t h w, "degraded": c t h w, "text": n d, "key", "variant", "caption"}`: variant k % V of
    sample k // V. Latents are float32 and scaled as models see them (the files hold raw values); "text" is there when
    text was encoded. Nothing is kept open and no item depends on another, so any plan may ask for any k.

    Attributes:
        variants: names of the V degradations.
        space: name of the latent space.
        null_text: embedding `n d` of the empty prompt, or None.
    """

    def __init__(self, folder: Path | str) -> None:
        """Open the index of an `encoded` folder.

        Raises:
            ValueError: it is not there or not finished.
        """
        self.samples = StageSamples(folder, "encode")
        first = row_at(self.samples.table, 0)
        self.variants: list[str] = first["variants"]
        self.space: str = first["space"]
        path = self.samples.folder / NULL_TEXT
        self.null_text = load(path.read_bytes())["text"].float() if path.is_file() else None

    def __len__(self) -> int:
        return len(self.samples) * len(self.variants)

    def __getitem__(self, k: int) -> dict[str, Tensor | str]:
        sample, variant = divmod(k, len(self.variants))
        row, members = self.samples[sample]
        latents, name = load(members["latent.safetensors"]), self.variants[variant]
        item: dict[str, Tensor | str] = {
            "clean": self._normalized(latents[CLEAN]),
            "degraded": self._normalized(latents[name]),
            "key": row["key"],
            "variant": name,
            "caption": row["caption"],
        }
        if "text.safetensors" in members:
            item["text"] = load(members["text.safetensors"])["text"].float()
        return item

    def _normalized(self, latent: Tensor) -> Tensor:
        return normalize(latent.to(torch.float32)[None], self.space)[0]
