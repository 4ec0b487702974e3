"""What can be read from a call of a diffusion model of ComfyUI's: where its tokens lie, and its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..gvr_core.attention import TokenGrid
from .model import CascadeDiT

REFERENCES = ("reference_latent", "ref_latent", "time_dim_concat")
"""Model inputs that become frames beside the video: Wan's, HunyuanVideo's, and Wan's for Phantom."""


@dataclass(frozen=True)
class VideoLayout:
    """Order of a video's tokens: `front` reference frames, the video itself, the other references.

    Attributes:
        grid: of the tokens; counts all references.
        front: reference frames before the video.
        text_first: whether joint sequences begin with the text.
    """

    grid: TokenGrid
    front: int = 0
    text_first: bool = False

    @property
    def video_length(self) -> int:
        """Tokens of the video itself."""
        return self.grid.frames * self.grid.frame_length


def read_layout(model: Any, x: Tensor, values: dict[str, Any]) -> VideoLayout | None:
    """The layout that the inputs of a call lead to, None for a model of another kind.

    Only what is known to add frames is counted. Where a model adds anything else (poses of half the size, frames packed
    together), its sequence is longer than the layout says, and that is how it is recognised.

    Args:
        model: the diffusion model.
        x: the latent, `b c t h w`.
        values: the other inputs by name, as `apply_model` gets them.
    """
    patch = getattr(model, "patch_size", None) or getattr(getattr(model, "config", None), "patch_size", None)
    is_cascade, is_joint = isinstance(model, CascadeDiT), hasattr(model, "double_blocks")
    knows = is_cascade or is_joint or hasattr(model, "blocks")
    if x.ndim != 5 or not isinstance(patch, (tuple, list)) or len(patch) != 3 or not knows:
        return None
    t, h, w = _tokens(x, patch)
    # Latents of another size than the video's make no whole frames: they are not counted, and attention stays dense.
    found = {name: _tokens(value, patch) for name, value in values.items() if name in REFERENCES and value is not None}
    frames = {name: size[0] for name, size in found.items() if size[1:] == (h, w)}
    front, behind = frames.get("ref_latent", 0) if is_joint else 0, 0
    if is_cascade:
        behind = values["references"].shape[2] if values.get("references") is not None else 0
    elif not is_joint:
        behind, reference = frames.get("time_dim_concat", 0), frames.get("reference_latent", 0)
        if hasattr(model, "patch_embedding_pose"):
            front = reference
        elif values.get("reference_latent") is None or values["reference_latent"].ndim == 5:
            behind += reference
        elif getattr(model, "ref_conv", None) is not None:
            front = reference
    return VideoLayout(TokenGrid(t, front + behind, h, w), front, is_joint and _text_first(model))


def find_options(args: tuple, kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """The transformer_options of a call: the one dictionary among its arguments that knows the wrappers."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, dict) and ("wrappers" in value or "sigmas" in value):
            return value
    return None


def replace_argument(args: tuple, kwargs: dict[str, Any], old: Any, new: Any) -> tuple[tuple, dict[str, Any]]:
    """The arguments with one object in the place of another."""
    swapped = tuple(new if value is old else value for value in args)
    return swapped, {name: new if value is old else value for name, value in kwargs.items()}


def _tokens(latent: Tensor, patch: tuple[int, ...]) -> tuple[int, int, int]:
    """Frames, rows and columns that a latent `b c t h w`, or a picture's `b c h w`, becomes."""
    sizes = (1, *latent.shape[2:])[-3:] if latent.ndim == 4 else tuple(latent.shape[2:])
    return tuple(-(-size // p) for size, p in zip(sizes, patch, strict=True))


def _text_first(model: Any) -> bool:
    """Order of HunyuanVideo's joint sequence: image first on ComfyUI 0.3.64, text first later."""
    return not getattr(model.double_blocks[0], "flipped_img_txt", False)
