"""Video in and out of a graph: the rendered sample clip, and coding that loses no frame and no row."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from comfy_api.latest import io
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from ..gvr_core.geometry import round_up
from ..gvr_core.sample_clip import render_sample_clip
from ..gvr_core.video import DEFAULT_FPS
from . import host
from .latents import check_space, size_of, video_latent, with_size
from .vae import pad_to_frames, vae_space


class SampleClip(io.ComfyNode):
    """The clip the project renders itself."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRSampleClip",
            display_name="Sample Clip (GVR)",
            category="GVR",
            description="Renders a short clip to try a graph with: a bakery's front in a slow camera move. No file "
            "needed.",
            search_aliases=["test video", "example video"],
            inputs=[
                io.Int.Input("width", default=384, min=16, max=4096, step=8, tooltip="Pixels, 16 to 4096."),
                io.Int.Input("height", default=224, min=16, max=4096, step=8, tooltip="Pixels, 16 to 4096."),
                io.Int.Input("frames", default=25, min=1, max=1000, tooltip="Frames, 1 to 1000, at 24 per second."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFF,
                    # Said, because ComfyUI would add it by the name, and a test clip should stay as it is.
                    control_after_generate=False,
                    tooltip="Textures and colours, 0 to 2^32-1.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames."),
                io.Float.Output(display_name="fps", tooltip="Frames per second, 24."),
            ],
        )

    @classmethod
    def execute(cls, width: int, height: int, frames: int, seed: int) -> io.NodeOutput:
        bar = host.ProgressBar(frames)
        images = torch.empty(frames, height, width, 3, device=host.intermediate_device())
        for index, frame in enumerate(render_sample_clip(frames=frames, height=height, width=width, seed=seed)):
            images[index] = torch.from_numpy(np.ascontiguousarray(frame)).float() / 255
            bar.update(1)
        return io.NodeOutput(images, float(DEFAULT_FPS))


class EncodeVideo(io.ComfyNode):
    """Images to a latent that knows their exact number and size."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVREncodeVideo",
            display_name="Encode Video (GVR)",
            category="GVR",
            description="Encodes a clip of any length and size. Video VAEs take 4n+1 frames and whole cells; VAE "
            "Encode drops the rest, this node repeats the last frame and the edge, and Decode Video (GVR) cuts them "
            "off again.",
            search_aliases=["vae encode", "video to latent"],
            inputs=[
                io.Image.Input("images", tooltip="The frames of one clip, one or more."),
                io.Vae.Input("vae", tooltip="VAE of the latent space to work in."),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="For Latent Cascade Upsample.")],
        )

    @classmethod
    def execute(cls, images: Tensor, vae: Any) -> io.NodeOutput:
        space = vae_space(vae)
        frames, height, width = images.shape[:3]
        pad = (0, round_up(width, space.spatial) - width, 0, round_up(height, space.spatial) - height)
        # In channels-first layout, which padding wants; pictures narrower than their padding have no edge to spare.
        padded = functional.pad(rearrange(images[..., :3], "t h w c -> t c h w"), pad, mode="replicate")
        latent = vae.encode(pad_to_frames(rearrange(padded, "t c h w -> t h w c"), space))
        return io.NodeOutput(with_size(latent, frames=frames, height=height, width=width))


class DecodeVideo(io.ComfyNode):
    """A latent to exactly the frames and pixels of its video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRDecodeVideo",
            display_name="Decode Video (GVR)",
            category="GVR",
            description="Decodes a latent and cuts the padding off: 1080 rows instead of 1088, and as many frames as "
            "came in. The exact size travels with the latent; one that was saved and loaded again has lost it. Tiles "
            "save memory.",
            search_aliases=["vae decode", "vae decode tiled", "latent to video"],
            inputs=[
                io.Latent.Input("samples", tooltip="Video latent from a sampler."),
                io.Vae.Input("vae", tooltip="VAE of the latent's space."),
                io.Int.Input(
                    "tile_size",
                    default=512,
                    min=0,
                    max=4096,
                    step=64,
                    tooltip="Side of a tile in pixels, 64 to 4096; 0 decodes whole frames, which takes a card with "
                    "much memory beyond 480p.",
                ),
                io.Int.Input(
                    "overlap",
                    default=64,
                    min=0,
                    max=4096,
                    step=32,
                    tooltip="Overlap of tiles in pixels, 0 to 4096.",
                ),
                io.Int.Input(
                    "temporal_size",
                    default=64,
                    min=8,
                    max=4096,
                    step=4,
                    tooltip="Frames decoded at a time, 8 to 4096, with tiles.",
                ),
                io.Int.Input(
                    "temporal_overlap",
                    default=8,
                    min=4,
                    max=4096,
                    step=4,
                    tooltip="Frames of overlap, 4 to 4096, with tiles.",
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The frames of the video.")],
        )

    @classmethod
    def execute(
        cls, samples: dict, vae: Any, tile_size: int, overlap: int, temporal_size: int, temporal_overlap: int
    ) -> io.NodeOutput:
        latent, space = video_latent(samples), vae_space(vae)
        check_space(latent, space, owner="the VAE")
        if not tile_size:
            images = vae.decode(latent)
        else:
            tile = max(1, tile_size // space.spatial)
            time = max(2, temporal_size // space.temporal)
            images = vae.decode_tiled(
                latent,
                tile_x=tile,
                tile_y=tile,
                overlap=min(overlap // space.spatial, tile // 4),
                tile_t=time,
                overlap_t=max(1, min(time // 2, temporal_overlap // space.temporal)),
            )
        frames, height, width = size_of(samples, space)
        return io.NodeOutput(images.flatten(0, -4)[:frames, :height, :width])
