"""Everything that decides the shape and the arithmetic of a `DiT`; stored as JSON in its checkpoint's header."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..attention import AttentionConfig
from ..geometry import latent_space
from ..references import ReferenceRanges
from .rope import axis_channels


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """Architecture of a DiT.

    Attributes:
        space: name of the latent space, see `geometry.latent_space`.
        latent_channels: channels of the latent ; as many as the space has.
        condition_channels: channels of the low-resolution condition; latent_channels for a cascade, 0 for a plain
            text-to-video model.
        dim: channels of a token.
        ffn_dim: hidden channels of the feed-forward.
        num_heads: attention heads; dim / num_heads must be even.
        num_layers: blocks.
        freq_dim: sinusoidal features of the timestep, even.
        text_dim: channels of the text encoder's tokens; 0 for a class-free model without cross-attention.
        patch_size: latent cells of a token along `t h w`; the first is 1, because a reference is whole frames.
        eps: of all norms.
        cross_attn_norm: LayerNorm before the cross-attention.
        spatial_attention: 2-D attention per frame before the 3-D attention (S 3, U A.1).
        noise_embedding: the model is told the noise level of its condition (U; ours: zero-initialised).
        attention: form of the 3-D attention (S 4.4).
        reference_ranges: time indices of references (U A.5.7).
        residual_std: per latent channel, the deviation of clean latent minus upsampled condition: predict the residual
            (see `preconditioning`). None: predict the velocity, as Wan.

    Raises:
        ValueError: a field is out of its range or does not fit another one.
    """

    space: str
    latent_channels: int
    condition_channels: int
    dim: int
    ffn_dim: int
    num_heads: int
    num_layers: int
    freq_dim: int
    text_dim: int
    patch_size: tuple[int, int, int]
    eps: float
    cross_attn_norm: bool
    spatial_attention: bool
    noise_embedding: bool
    attention: AttentionConfig
    reference_ranges: ReferenceRanges
    residual_std: tuple[float, ...] | None

    def __post_init__(self) -> None:
        for name in ("latent_channels", "dim", "ffn_dim", "num_heads", "num_layers", "freq_dim"):
            _require(_is_int(getattr(self, name), 1), name, getattr(self, name), "a whole number of at least 1")
        channels = latent_space(self.space).channels
        _require(
            self.latent_channels == channels, "latent_channels", self.latent_channels, f"{channels} for '{self.space}'"
        )
        _require(
            _is_int(self.condition_channels, 0) and self.condition_channels in (0, self.latent_channels),
            "condition_channels",
            self.condition_channels,
            f"{self.latent_channels} for a cascade or 0 for a plain model",
        )
        _require(self.dim % self.num_heads == 0, "dim", self.dim, f"a multiple of num_heads, {self.num_heads}")
        axis_channels(self.head_dim)
        _require(self.freq_dim % 2 == 0, "freq_dim", self.freq_dim, "an even number")
        _require(_is_int(self.text_dim, 0), "text_dim", self.text_dim, "a whole number, 0 without text")
        patch = self.patch_size
        _require(
            isinstance(patch, tuple) and len(patch) == 3 and all(_is_int(n, 1) for n in patch) and patch[0] == 1,
            "patch_size",
            patch,
            "three whole numbers (1, height, width)",
        )
        _require(_is_positive(self.eps), "eps", self.eps, "a positive number")
        for name in ("cross_attn_norm", "spatial_attention", "noise_embedding"):
            _require(isinstance(getattr(self, name), bool), name, getattr(self, name), "true or false")
        _require(isinstance(self.attention, AttentionConfig), "attention", self.attention, "an AttentionConfig")
        ranges = self.reference_ranges
        _require(isinstance(ranges, ReferenceRanges), "reference_ranges", ranges, "ReferenceRanges")
        std = self.residual_std
        if std is not None:
            _require(
                isinstance(std, tuple) and len(std) == self.latent_channels and all(_is_positive(s) for s in std),
                "residual_std",
                std,
                f"{self.latent_channels} positive numbers, one per latent channel, or none",
            )
            _require(self.condition_channels > 0, "condition_channels", 0, "the latent's, because residual_std is set")

    @property
    def head_dim(self) -> int:
        """Channels of an attention head."""
        return self.dim // self.num_heads

    @property
    def in_channels(self) -> int:
        """Input channels of the patch embedding: the latent and, in a cascade, its condition."""
        return self.latent_channels + self.condition_channels

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return {
            **asdict(self),
            "patch_size": list(self.patch_size),
            "attention": self.attention.to_dict(),
            "residual_std": None if self.residual_std is None else list(self.residual_std),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DiTConfig:
        """The config that `to_dict` wrote.

        Raises:
            ValueError: a key is unknown or missing, here or in a part, or a value is out of range.
        """
        _require_keys(cls, values, "model config")
        _require_keys(ReferenceRanges, values["reference_ranges"], "reference_ranges")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        if not isinstance(values["attention"], Mapping):
            raise ValueError(f"attention config is {values['attention']!r}, expected named values")
        # Fields that are younger than the file take their defaults.
        values["attention"] = AttentionConfig.from_dict(values["attention"])
        values["reference_ranges"] = ReferenceRanges(**values["reference_ranges"])
        return cls(**values)


def _require_keys(kind: type, values: Any, what: str) -> None:
    if not isinstance(values, Mapping):
        raise ValueError(f"{what} is {values!r}, expected named values: use the file as it was written")
    expected = {field.name for field in fields(kind)}
    wrong = [f"unknown {name}" for name in sorted(set(values) - expected)]
    wrong += [f"missing {name}" for name in sorted(expected - set(values))]
    if wrong:
        raise ValueError(
            f"{what} has the wrong keys ({', '.join(wrong)}), expected exactly {', '.join(sorted(expected))}: "
            "use the version of this project that wrote it"
        )


def _require(holds: bool, name: str, value: Any, expected: str) -> None:
    if not holds:
        raise ValueError(f"model config has {name} = {value!r}, expected {expected}: correct the config")


def _is_int(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
