"""What is benchmarked: a model and the video it works on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..attention import AttentionConfig, TokenGrid
from ..cascade import nano_path
from ..checkpoints import read_header
from ..geometry import latent_space, plan_upscale
from ..models.dit_config import DiTConfig
from ..references import ReferenceRanges, time_indices
from .cases import Case, Operation
from .estimate import Form, form_of

MODELS = ("1.3b", "14b", "nano")
DEFAULT_UNIT = 5
"""Latent frames in a temporal unit of S."""
# dim, ffn_dim, num_heads, num_layers of Wan 2.1.
WAN = {"1.3b": (1536, 8960, 12, 30), "14b": (5120, 13824, 40, 40)}


@dataclass(frozen=True, kw_only=True)
class Size:
    """A model on a video; one sample, as inference runs it.

    Attributes:
        config: of the model.
        frames: of the video, at least 1; padded as the autoencoder does.
        height: rows in pixels.
        width: columns in pixels.
        references: ID images, one latent frame each.

    Raises:
        ValueError: the model cannot take such a video or so many references.
    """

    config: DiTConfig
    frames: int
    height: int
    width: int
    references: int = 0

    def __post_init__(self) -> None:
        time_indices(self.grid.frames, self.references, 0, self.config.reference_ranges)

    @property
    def grid(self) -> TokenGrid:
        """The model's tokens."""
        space = latent_space(self.config.space)
        _, rows, columns = self.config.patch_size
        plan = plan_upscale(space, self.height, self.width, scale=1.0, patch=max(rows, columns))
        return TokenGrid(
            frames=space.latent_frames(self.frames),
            references=self.references,
            height=plan.latent_height // rows,
            width=plan.latent_width // columns,
        )


def model_config(name: str) -> DiTConfig:
    """The config of a model: a name of `MODELS`, or a checkpoint file's.

    Raises:
        ValueError: neither; or the file is no checkpoint of this project or holds no DiT.
    """
    if name in WAN:
        dim, ffn_dim, num_heads, num_layers = WAN[name]
        return DiTConfig(
            space="wan21",
            latent_channels=16,
            condition_channels=16,
            dim=dim,
            ffn_dim=ffn_dim,
            num_heads=num_heads,
            num_layers=num_layers,
            freq_dim=256,
            text_dim=4096,
            patch_size=(1, 2, 2),
            eps=1e-6,
            cross_attn_norm=True,
            spatial_attention=False,
            noise_embedding=True,
            attention=AttentionConfig(kind="sparse_local"),
            reference_ranges=ReferenceRanges(),
            residual_std=None,
        )
    path = nano_path() if name == "nano" else Path(name)
    if name != "nano" and not path.is_file():
        raise ValueError(f"model size is {name!r}, expected {', '.join(MODELS)} or the path of a checkpoint file")
    parts = read_header(path).parts
    if "dit" not in parts:
        raise ValueError(f"{path} holds {', '.join(parts) or 'nothing'}, but no dit: choose another checkpoint")
    return DiTConfig.from_dict(parts["dit"])


def with_form(config: DiTConfig, form: Form) -> DiTConfig:
    """The model with another form of attention.

    "full" sees everything, "units" everything inside temporal units. "sparse" is the model's own sparse local
    attention, inside units if it has them; where the model has none, that of S without units.
    """
    own = config.attention
    if form == "sparse":
        attention = own if form_of(own) == "sparse" else AttentionConfig(kind="sparse_local")
    elif form == "units":
        attention = AttentionConfig(unit=DEFAULT_UNIT)
        if own.unit:
            attention = AttentionConfig(unit=own.unit, unit_shift=own.unit_shift)
    else:
        attention = AttentionConfig()
    return replace(config, attention=attention)


def whole_case(size: Size, operation: Operation, form: Form) -> Case:
    """An operation at the size that was asked for; below the model it is that of a layer that is not dense."""
    config = with_form(size.config, form)
    if operation != "model":
        config = replace(config, attention=replace(config.attention, dense_layers=()))
    return Case(operation=operation, config=config, grid=size.grid)


def with_heads(config: DiTConfig, num_heads: int, head_dim: int) -> DiTConfig:
    """The model with other attention heads and as many channels as they have together.

    Raises:
        ValueError: a number below 1, or an odd number of channels.
    """
    if num_heads < 1 or head_dim < 1:
        raise ValueError(f"got {num_heads} heads of {head_dim} channels, expected at least 1 of each: use 12 and 128")
    return replace(config, num_heads=num_heads, dim=num_heads * head_dim)


def size_of_grid(config: DiTConfig, grid: TokenGrid) -> Size:
    """The smallest video with these tokens."""
    space = latent_space(config.space)
    _, rows, columns = config.patch_size
    return Size(
        config=config,
        frames=space.video_frames(grid.frames),
        height=grid.height * rows * space.spatial,
        width=grid.width * columns * space.spatial,
        references=grid.references,
    )
