"""A checkpoint as a ComfyUI MODEL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..gvr_core.checkpoints import Header, build_part, check_state_dict, load_part, read_cascade_header, read_part
from ..gvr_core.geometry import LatentSpace, latent_space
from ..gvr_core.latent_values import denormalize, normalize
from ..gvr_core.models.dit_config import DiTConfig
from . import host
from .calibration import watch
from .model import CascadeModel


class CascadeConfig(host.ModelConfig):
    """What ComfyUI wants to know of a model before it is built."""

    unet_extra_config: dict[str, Any] = {}  # noqa: RUF012  the host's attribute

    def __init__(self, header: Header, dit: DiTConfig, latent_format: type[host.LatentFormat]) -> None:
        self.header, self.dit = header, dit
        self.latent_format = latent_format
        self.sampling_settings = {"shift": header.inference.shift}
        # Wan's factor, which the host's estimate was measured for.
        self.memory_usage_factor = dit.dim / 2222
        super().__init__({"image_model": "gvr", "dim": dit.dim, "num_layers": dit.num_layers})


def latent_format(space: LatentSpace, rgb_factors: list[list[float]] | None = None) -> type[host.LatentFormat]:
    """ComfyUI's latent format of a space; for spaces it does not know one of our own, with the preview's colours.

    Args:
        space: the latent space.
        rgb_factors: for each channel what it adds to red, green and blue, in [-1, 1] units.
    """
    known = host.host_latent_format(space.name)
    if known is not None:
        return known

    class CascadeLatents(host.LatentFormat):
        latent_channels = space.channels
        latent_dimensions = 3
        spacial_downscale_ratio = space.spatial
        temporal_downscale_ratio = space.temporal
        latent_rgb_factors = rgb_factors

        def process_in(self, latent: Tensor) -> Tensor:
            return normalize(latent, space.name)

        def process_out(self, latent: Tensor) -> Tensor:
            return denormalize(latent, space.name)

    return CascadeLatents


def load_cascade(path: Path, *, dtype: torch.dtype | None, rgb_factors: list[list[float]] | None = None) -> Any:
    """A checkpoint as a MODEL.

    Args:
        path: of the checkpoint.
        dtype: of the weights; None lets the host choose.
        rgb_factors: see `latent_format`.

    Raises:
        ValueError: as `read_cascade_header`; or its tensors do not fit its header.
    """
    header = read_cascade_header(path)
    with torch.device("meta"):
        skeleton = build_part("dit", header.parts["dit"])
    tensors = read_part(path, "dit")
    check_state_dict(skeleton, tensors, source=path.name)

    config = CascadeConfig(header, skeleton.config, latent_format(latent_space(header.space), rgb_factors))
    config.set_inference_dtype(*host.choose_dtypes(tensors, dtype))
    model = CascadeModel(config)
    patcher = host.place(model)
    host.load_weights(model, patcher, tensors)
    watch(patcher)
    if "upsampler" in header.parts:
        model.upsampler = host.place(load_part(path, "upsampler"), host.WholePatcher)
    return patcher
