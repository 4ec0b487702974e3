"""Groups for the cascade from pairs of latents (`train encode`): buckets of equal shape, tasks by what samples hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from gvr_core.geometry import latent_space

from ..fit_config import TASKS, FitConfig
from ..pairs import PairShards
from ..plan import GroupPlan, group_generator, group_samples, plan_group

TEXT_TOKENS = 512
"""Wan was trained with contexts of this length: shorter prompts are filled up with zero vectors, without a mask."""

Bucket = tuple[int, ...]
"""Shapes of clean and low-resolution latent, and views of the reference picture."""


class PairGroups(Dataset):
    """Item g is group g of the run, for any g.

    `{"clean": b c t h w, "condition" (route "pixel"): the same or "low": b c t h' w', "noise_seed": b}`; with text
    `"text": b 512 d`, `"null_text": 512 d`; where the group has references `"references": b c r h w`, `"num_images"`,
    `"video_frames"`.

    Attributes:
        buckets: for each task the numbers of its samples by bucket.
    """

    def __init__(self, config: FitConfig, pairs: PairShards, *, route: str, held_out: bool) -> None:
        """Sort the samples.

        Raises:
            ValueError: no sample for a task of the mixture, unknown variants, pairs without the route's condition, or
                pairs whose two latents do not lie over each other.
        """
        self.config, self.pairs, self.route = config, pairs, route
        data = config.data
        unknown = sorted(set(data.variants) - set(pairs.variants))
        if unknown:
            raise ValueError(f"data.variants has {', '.join(unknown)}, the pairs have {', '.join(pairs.variants)}")
        self.variants = [i for i, name in enumerate(pairs.variants) if name in (data.variants or pairs.variants)]
        rows = pairs.table.select(_COLUMNS).to_pylist()
        kept = [
            (number, row)
            for number, row in enumerate(rows)
            if (not data.frames or row["frames"] == data.frames)
            and ((row["key"] in data.validation or row["clip"] in data.validation) == held_out)
        ]
        if route == "pixel" and not all(row["enlarged"] for _, row in kept):
            raise ValueError(f"{data.root} has no enlarged latents for route pixel: encode with encode.enlarged=true")
        for _, row in kept:
            _check_aligned(row)
        self.buckets: dict[str, dict[Bucket, list[int]]] = {
            task: _buckets(row_pair for row_pair in kept if _serves(row_pair[1], task)) for task in TASKS
        }
        for task in _wanted(config):
            if not self.buckets[task]:
                kind = "held-out " if held_out else ""
                raise ValueError(f"{data.root} has no {kind}sample for task {task}: {_REMEDY[task]}")

    def __getitem__(self, g: int) -> dict[str, Any]:
        seed = self.config.seed
        plan = plan_group(seed, g, self.config.data)
        buckets = self.buckets[plan.task]
        random = group_generator(seed, g, part=1)
        shares = np.cumsum([len(numbers) for numbers in buckets.values()])
        place = int(np.searchsorted(shares, random.integers(shares[-1]), side="right"))
        bucket = list(buckets)[place]
        images = min(plan.images, bucket[-1])
        samples = [self._sample(k, plan, buckets[bucket], images) for k in group_samples(g, self.config.group)]
        batch: dict[str, Any] = torch.utils.data.default_collate(samples)
        if plan.has_references:
            frames = batch["clean"].shape[2] if plan.video else 0
            batch |= {"num_images": images, "video_frames": frames}
        if self.pairs.null_text is not None:
            batch["null_text"] = _padded(self.pairs.null_text)
        return batch

    def _sample(self, k: int, plan: GroupPlan, numbers: list[int], images: int) -> dict[str, Tensor]:
        random = np.random.default_rng([self.config.seed, k])
        number = numbers[int(random.integers(len(numbers)))]
        variant = self.variants[int(random.integers(len(self.variants)))]
        pair = self.pairs[number * len(self.pairs.variants) + variant]
        noise_seed = torch.tensor(int(random.integers(2**63)))
        if self.config.data.crop:
            pair = self._cropped(pair, random)
        sample = {"clean": pair["clean"], "noise_seed": noise_seed}
        if self.route == "pixel":
            sample["condition"] = pair["enlarged"]
        else:
            sample["low"] = pair["degraded"]
        if "text" in pair:
            sample["text"] = _padded(pair["text"])
        if plan.has_references:
            views = sorted(random.permutation(pair["num_images"])[:images].tolist())
            video = list(range(pair["num_images"], pair["references"].shape[1])) if plan.video else []
            sample["references"] = pair["references"][:, [*views, *video]]
        return sample

    def _cropped(self, pair: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """The pair with its latents cut to `data.crop` pixels, at the same place, along cells of the low one."""
        factor = pair["clean"].shape[-2] // pair["degraded"].shape[-2]
        cells = self.config.data.crop // latent_space(self.pairs.space).spatial // factor
        rows, columns = pair["degraded"].shape[-2:]
        if not 0 < cells <= min(rows, columns):
            raise ValueError(
                f"data.crop of {self.config.data.crop} pixels is {cells} cells of the low-resolution latent, the pair "
                f"{pair['key']} has {rows} x {columns}: change data.crop, or set it to 0 for whole samples"
            )
        top, left = int(random.integers(rows - cells + 1)), int(random.integers(columns - cells + 1))
        cut = dict(pair)
        for name in ("clean", "degraded", "enlarged", "references"):
            if name in pair:
                n = 1 if name == "degraded" else factor
                y, x, size = n * top, n * left, n * cells
                cut[name] = pair[name][..., y : y + size, x : x + size]
        return cut


_COLUMNS = [
    "key",
    "clip",
    "frames",
    "latent_shape",
    "low_latent_shape",
    "enlarged",
    "num_images",
    "video_frames",
]
_REMEDY = {
    "t2v": "check data.frames and data.validation",
    "multi_id": "encode with encode.references=3, or leave multi_id out of data.tasks",
    "edit": "prepare with cut.reference_video=true, or leave edit out of data.tasks",
}


def _wanted(config: FitConfig) -> list[str]:
    return [task for task in TASKS if config.data.tasks.get(task, 0) > 0]


def _check_aligned(row: dict[str, Any]) -> None:
    """Raises ValueError where a cell of the low-resolution latent is not a whole number of clean cells."""
    clean, low = row["latent_shape"][-2:], row["low_latent_shape"][-2:]
    factor = clean[0] // low[0]
    if factor < 1 or [factor * side for side in low] != list(clean):
        raise ValueError(
            f"pair {row['key']} has a clean latent of {clean[0]} x {clean[1]} cells over one of {low[0]} x {low[1]}, "
            "expected a whole multiple of it: delete its folder `encoded` and encode again"
        )


def _serves(row: dict[str, Any], task: str) -> bool:
    return task == "t2v" or row["num_images" if task == "multi_id" else "video_frames"] > 0


def _buckets(rows: Any) -> dict[Bucket, list[int]]:
    """Numbers of samples by what they must have in common to be stacked."""
    buckets: dict[Bucket, list[int]] = {}
    for number, row in rows:
        bucket = (*row["latent_shape"], *row["low_latent_shape"], row["num_images"])
        buckets.setdefault(bucket, []).append(number)
    return dict(sorted(buckets.items()))


def _padded(text: Tensor) -> Tensor:
    """`n d` cut or filled up to `TEXT_TOKENS d`."""
    text = text[:TEXT_TOKENS]
    return functional.pad(text, (0, 0, 0, TEXT_TOKENS - len(text)))
