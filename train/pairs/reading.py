"""The reading side: sample k of a finished stage, found through the index, whatever was read before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors.torch import load
from torch import Tensor
from torch.utils.data import Dataset

from gvr_core.latent_values import normalize

from .encode import CLEAN, ENLARGED, NULL_TEXT
from .parquet_index import REFERENCES, read_index, row_at
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
        self.settings = open_stage(self.folder, command, any_format=True).settings
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

    With `encode.enlarged` there is "enlarged" too, `c t h w` on the clean latent's grid: the condition as the pixel
    upsampler makes it. Samples with references have "references", `c r h w` on that grid, pictures first, then the
    frames of the reference video, and their numbers "num_images" and "video_frames".

    Attributes:
        table: the index, a row for each sample: `frames`, `width`, `height` (pixels), `latent_shape`, `enlarged`,
            `num_images`, `video_frames` (latent), `has_mask`, `has_source` and more tell what there is.
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
        self.table = _with_references(self.samples.table)
        self.null_text = load(path.read_bytes())["text"].float() if path.is_file() else None

    def __len__(self) -> int:
        return len(self.samples) * len(self.variants)

    def __getitem__(self, k: int) -> dict[str, Tensor | str | int]:
        sample, variant = divmod(k, len(self.variants))
        row, members = self.samples[sample]
        latents, name = load(members["latent.safetensors"]), self.variants[variant]
        item: dict[str, Tensor | str | int] = {
            "clean": self._normalized(latents[CLEAN]),
            "degraded": self._normalized(latents[name]),
            "key": row["key"],
            "variant": name,
            "caption": row["caption"],
        }
        if row.get("enlarged"):
            enlarged = load(members[f"{name}{ENLARGED}.safetensors"])[name + ENLARGED]
            item["enlarged"] = self._normalized(enlarged)
        if "reference.safetensors" in members:
            stored = load(members["reference.safetensors"])
            parts = [self._normalized(stored[part]) for part in ("images", "video") if part in stored]
            item["references"] = torch.cat(parts, dim=1)
            item |= {count: row[count] for count in ("num_images", "video_frames")}
        if "text.safetensors" in members:
            item["text"] = load(members["text.safetensors"])["text"].float()
        return item

    def _normalized(self, latent: Tensor) -> Tensor:
        return normalize(latent.to(torch.float32)[None], self.space)[0]


def _with_references(table: pa.Table) -> pa.Table:
    """The index with the columns that folders of an earlier version lack: nothing of it is there."""
    for name, kind in REFERENCES:
        if name not in table.column_names:
            empty = pa.repeat(pa.scalar(False if kind == pa.bool_() else 0, kind), len(table))
            table = table.append_column(name, empty)
    return table
