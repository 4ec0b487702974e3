"""The section `model` of a cascade made from a public Wan model: named by its size instead of a dozen fields."""

from __future__ import annotations

from typing import Any

from gvr_core.geometry import latent_space
from gvr_core.models.dit_config import DiTConfig
from gvr_core.references import ReferenceRanges

SIZES: dict[str, dict[str, Any]] = {
    "1.3B": {"space": "wan21", "dim": 1536, "ffn_dim": 8960, "num_heads": 12, "num_layers": 30},
    "14B": {"space": "wan21", "dim": 5120, "ffn_dim": 13824, "num_heads": 40, "num_layers": 40},
    "5B": {"space": "wan22", "dim": 3072, "ffn_dim": 14336, "num_heads": 24, "num_layers": 30},
}
"""Wan 2.1 T2V 1.3B and 14B (2.2 A14B has the sizes of the latter), Wan 2.2 TI2V 5B."""
CASCADE: dict[str, Any] = {
    "freq_dim": 256,
    "text_dim": 4096,
    "patch_size": [1, 2, 2],
    "eps": 1e-6,
    "cross_attn_norm": True,
    "spatial_attention": False,
    "noise_embedding": True,
    "attention": {},
    "residual_std": None,
}
"""What all sizes share: Wan's numbers, and a cascade's own switches."""


def expand_model(values: dict[str, Any]) -> dict[str, Any]:
    """All fields of `DiTConfig` for `{size: "1.3B", ...}`; other fields that are given replace the size's.

    Values without `size` are returned as they are. `reference_ranges` may name only what differs from U A.5.7.

    Raises:
        ValueError: an unknown size.
    """
    values = dict(values)
    size = values.pop("size", None)
    if size is None:
        return values
    if size not in SIZES:
        raise ValueError(f"model.size is {size!r}, expected one of {', '.join(SIZES)}")
    channels = latent_space(SIZES[size]["space"]).channels
    ranges = vars(ReferenceRanges()) | values.pop("reference_ranges", {})
    filled = {"latent_channels": channels, "condition_channels": channels, **CASCADE, **SIZES[size], **values}
    return {**filled, "reference_ranges": ranges}


def dit_config(values: dict[str, Any]) -> DiTConfig:
    """The config of a `model` section without the keys of other parts.

    Raises:
        ValueError: as `expand_model` and `DiTConfig.from_dict`.
    """
    return DiTConfig.from_dict(expand_model(values))
