"""Groups of pixel samples, for the tasks that learn from pixels (`vae`, `upsampler`)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..fit_config import FitConfig
from ..plan import group_samples, plan_sample
from .clips import Clips


class VideoGroups(Dataset):
    """Groups `{"video": b c f h w uint8, "noise_seed": b}`; item g is group g of the run, for any g."""

    def __init__(self, config: FitConfig, clips: Clips) -> None:
        self.config, self.clips = config, clips

    def __getitem__(self, g: int) -> dict[str, Tensor]:
        samples = [self.sample(k) for k in group_samples(g, self.config.group)]
        return torch.utils.data.default_collate(samples)

    def sample(self, k: int) -> dict[str, Tensor]:
        """Sample k of the run: `{"video": c f h w uint8, "noise_seed"}`."""
        data = self.config.data
        plan = plan_sample(self.config.seed, k, data, self.clips.shapes)
        array = self.clips.arrays[plan.clip][plan.short_side]
        rows, columns = slice(plan.top, plan.top + plan.side), slice(plan.left, plan.left + plan.side)
        video = array[plan.start : plan.start + data.frames, rows, columns]
        if plan.flip:
            video = video[:, :, ::-1]
        if plan.halve:
            half = (data.crop, data.crop)
            video = np.stack([cv2.resize(f, half, interpolation=cv2.INTER_AREA) for f in np.ascontiguousarray(video)])
        pixels = torch.from_numpy(np.ascontiguousarray(video.transpose(3, 0, 1, 2)))
        return {"video": pixels, "noise_seed": torch.tensor(plan.noise_seed)}
