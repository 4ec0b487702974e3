"""Reference Tokens: ID pictures and a reference video as clean latents beside the condition (U 3.2)."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from einops import rearrange
from torch import Tensor

from ..gvr_core.geometry import LatentSpace
from ..gvr_core.references import ReferenceRanges, fit_reference, time_indices
from . import host
from .vae import pad_to_frames, vae_space

MAX_IMAGES = 10


class ReferenceTokens(io.ComfyNode):
    """Adds references to CONDITIONING."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        images = [
            io.Image.Input(
                f"image_{n}",
                optional=True,
                tooltip=f"ID picture, or a batch of pictures of one size; {MAX_IMAGES} pictures in all. Larger ones "
                "are shrunk to fit the target, smaller ones stay as they are on a black border.",
            )
            for n in range(1, MAX_IMAGES + 1)
        ]
        video = io.Image.Input(
            "video", optional=True, tooltip="Frames of a reference video, for text-guided editing. Up to 77 frames."
        )
        return host.schema(
            node_id="GVRReferenceTokens",
            display_name="Reference Tokens",
            category="GVR",
            description="Guides the cascade by pictures of people or things and by a reference video. Connect it "
            "between Latent Cascade Upsample and the sampler. Needs a cascade that was trained with references.",
            search_aliases=["identity", "reference image", "UniMMVSR", "subject to video"],
            inputs=[
                io.Conditioning.Input("positive", tooltip="From Latent Cascade Upsample."),
                io.Conditioning.Input("negative", tooltip="From Latent Cascade Upsample."),
                io.Vae.Input("vae", tooltip="VAE of the cascade's latent space; it encodes the references."),
                *images,
                video,
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="For the sampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For the sampler."),
            ],
        )

    @classmethod
    def execute(
        cls, positive: list, negative: list, vae: Any, video: Tensor | None = None, **images: Tensor | None
    ) -> io.NodeOutput:
        pictures = [picture for n in range(1, MAX_IMAGES + 1) for picture in _pictures(images.get(f"image_{n}"))]
        if not pictures and video is None:
            raise ValueError("no reference is connected: connect at least one image or the video, or remove this node")
        height, width = _canvas(positive, vae)
        ranges = positive[0][1].get("gvr_reference_ranges", ReferenceRanges())
        _check_lengths(len(pictures), video, vae_space(vae), ranges)
        latents = [_encode(vae, rearrange(p, "h w c -> c 1 h w"), height, width) for p in pictures]
        if video is not None:
            latents.append(_encode(vae, rearrange(video, "t h w c -> c t h w"), height, width))
        values = {"gvr_references": torch.cat(latents, dim=2), "gvr_reference_images": len(pictures)}
        return io.NodeOutput(host.set_values(positive, values), host.set_values(negative, values))


def _pictures(batch: Tensor | None) -> list[Tensor]:
    return [] if batch is None else list(batch)


def _check_lengths(pictures: int, video: Tensor | None, space: LatentSpace, ranges: ReferenceRanges) -> None:
    """Raises ValueError for more than the cascade has places for, before any work."""
    most = space.video_frames(ranges.max_video)
    if video is not None and len(video) > most:
        raise ValueError(
            f"the reference video has {len(video)} frames, at most {most} fit: shorten it, for example with Image "
            "From Batch"
        )
    time_indices(1, pictures, 0, ranges)


def _canvas(conditioning: list, vae: Any) -> tuple[int, int]:
    """Rows and columns in pixels of the padded target, from the condition that is already there."""
    condition = conditioning[0][1].get("concat_latent_image") if conditioning else None
    if condition is None:
        raise ValueError(
            "positive has no low-resolution condition yet: connect Reference Tokens behind Latent Cascade Upsample"
        )
    space = vae_space(vae)
    if condition.shape[1] != space.channels:
        raise ValueError(
            f"the VAE makes latents of {space.channels} channels, the cascade's have {condition.shape[1]}: connect "
            "the VAE of the cascade's latent space"
        )
    return condition.shape[-2] * space.spatial, condition.shape[-1] * space.spatial


def _encode(vae: Any, reference: Tensor, height: int, width: int) -> Tensor:
    """`c t h w` in [0, 1] -> raw latent `1 c t' h' w'` on the target's grid."""
    colours = reference[:3] if len(reference) > 1 else reference.expand(3, -1, -1, -1)  # alpha left out; grey repeated
    fitted = rearrange(fit_reference(colours, height, width), "c t h w -> t h w c")
    return vae.encode(pad_to_frames(fitted, vae_space(vae)))
