"""Groups for the cascade, cut from encoded clips: clean latent, condition, references as pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..fit_config import FitConfig
from ..plan import GroupPlan, group_samples, plan_group
from .clips import Clips
from .latent_bank import LatentBank
from .references import reference_pictures, reference_video


class CascadeGroups(Dataset):
    """Item g is group g of the run, for any g.

    `{"clean": b c t h w, "condition": the same shape or "low": b c t h/2 w/2, "noise_seed": b}` and, where the group
    has them, `"reference_images": b n 3 side side uint8`, `"reference_video": b 3 f side side uint8`.
    """

    def __init__(self, config: FitConfig, clips: Clips, bank: LatentBank, *, spatial: int) -> None:
        """Args: the run, its clips and their latents, and the pixels of a latent cell."""
        self.config, self.clips, self.bank, self.spatial = config, clips, bank, spatial

    def __getitem__(self, g: int) -> dict[str, Tensor]:
        plan = plan_group(self.config.seed, g, self.config.data)
        samples = [self._sample(k, plan) for k in group_samples(g, self.config.group)]
        return torch.utils.data.default_collate(samples)

    def _sample(self, k: int, plan: GroupPlan) -> dict[str, Tensor]:
        seed, data = self.config.seed, self.config.data
        random = np.random.default_rng([seed, k])
        clip = int(random.integers(len(self.bank.pieces)))
        side = int(random.integers(len(self.bank.pieces[clip])))
        piece = self.bank.pieces[clip][side][int(random.integers(len(self.bank.pieces[clip][side])))]
        cells = data.crop // self.spatial
        rows, columns = piece.latents["clean"].shape[-2:]
        # In steps of two cells: a cell of the low-resolution latent.
        top, left = (int(random.integers((n - cells) // 2 + 1)) * 2 for n in (rows, columns))
        sample = {"noise_seed": torch.tensor(int(random.integers(2**63)))}
        for name, latent in piece.latents.items():
            factor = rows // latent.shape[-2]
            y, x, size = (n // factor for n in (top, left, cells))
            cut = np.ascontiguousarray(latent[..., y : y + size, x : x + size])
            sample[name] = torch.from_numpy(cut).float()
        if plan.has_references:
            place = {"top": top * self.spatial, "left": left * self.spatial, "side": data.crop}
            frames, drawn = self.clips.arrays[clip][side], {"config": data.references, "seed": seed, "k": k}
            if plan.images:
                sample["reference_images"] = reference_pictures(frames, count=plan.images, **place, **drawn)
            if plan.video:
                sample["reference_video"] = reference_video(
                    frames, start=piece.start, frames=data.frames, **place, **drawn
                )
        return sample
