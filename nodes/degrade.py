"""Flow Degrade and SDEdit Degrade: clips that look like a text-to-video model's output (S 4.2, U 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io
from torch import Tensor

from ..gvr_core.degradations.config import REFERENCE_SIDE, FlowDegradation
from ..gvr_core.degradations.flow_based import degrade_flow
from ..gvr_core.degradations.flow_picture import FULL_COLOUR, flow_picture
from ..gvr_core.noise import SAMPLING, frame_noise
from . import host
from .choices import check_choice
from .latents import video_latent
from .schedules import last_steps, partial_schedule
from .widgets import scheduler_input, seed_input, steps_input

MODES = ("alpha", "steps")


CLIP = "ComfyUI"
"""Clip id of the node: what a frame becomes is decided by the seed and its number alone."""


class FlowDegrade(io.ComfyNode):
    """Smeared colours and motion blur where something moves."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        defaults = FlowDegradation()
        return host.schema(
            node_id="GVRFlowDegrade",
            display_name="Flow Degrade",
            category="GVR",
            description="Gives a clip the faults that text-to-video models have where something moves: colours of "
            "the frame before are smeared over it, and it is blurred along its motion. What stands still keeps every "
            "bit.",
            search_aliases=["degradation", "motion blur", "optical flow", "training pairs", "SimpleGVR"],
            inputs=[
                io.Image.Input("images", tooltip="The frames of one clip, in order."),
                io.Float.Input(
                    "strength",
                    default=defaults.strength,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Weight of the smeared colours, 0 (none) to 1.",
                ),
                io.Int.Input(
                    "ellipses",
                    default=defaults.ellipses,
                    min=0,
                    max=4000,
                    tooltip="Smeared spots in a frame that moves all over, 0 to 4000; fewer where less moves.",
                ),
                io.Float.Input(
                    "blur",
                    default=defaults.blur,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Length of the motion blur as a share of the motion from frame to frame, 0 (off) to 4.",
                ),
                io.Float.Input(
                    "threshold",
                    default=defaults.threshold,
                    min=0.1,
                    max=64.0,
                    step=0.1,
                    tooltip="Least motion that counts, in pixels per frame of a 512-pixel-high picture, 0.1 to 64.",
                ),
                seed_input("Where the spots lie and which colours they take."),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The degraded frames."),
                io.Mask.Output(display_name="motion", tooltip="Where a frame may have changed."),
                io.Image.Output(
                    display_name="flow", tooltip="The motion as colours: hue is the direction, saturation the speed."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, images: Tensor, strength: float, ellipses: int, blur: float, threshold: float, seed: int
    ) -> io.NodeOutput:
        config = FlowDegradation(strength=strength, ellipses=ellipses, blur=blur, threshold=threshold)
        frames, height, width = images.shape[:3]
        device = host.intermediate_device()
        result = images[..., :3].to(device, copy=True)
        motion = torch.zeros(frames, height, width, device=device)
        flow = torch.empty(frames, height, width, 3, device=device)
        longest = FULL_COLOUR * min(height, width) / REFERENCE_SIDE
        bar = host.ProgressBar(frames)
        for index, degraded in enumerate(degrade_flow(_bytes(images), config, seed=seed, clip_id=CLIP)):
            mask = torch.from_numpy(degraded.mask)
            # Pixels outside the mask are not even rounded to bytes.
            result[index][mask] = (torch.from_numpy(degraded.frame).float() / 255)[mask].to(result)
            motion[index] = mask
            picture = flow_picture(-degraded.flow, longest=longest)
            flow[index] = torch.from_numpy(np.ascontiguousarray(picture)).float() / 255
            bar.update(1)
        return io.NodeOutput(result, motion, flow)


def _bytes(images: Tensor) -> Iterator[np.ndarray]:
    """Frame by frame as uint8 `h w 3`."""
    for image in images:
        yield (image[..., :3].float().clamp(0, 1) * 255).round().byte().cpu().contiguous().numpy()


class SDEditDegrade(io.ComfyNode):
    """A latent noised part of the way and denoised again by the user's own model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRSDEditDegrade",
            display_name="SDEdit Degrade",
            category="GVR",
            description="Gives a clean clip the artefacts of your own text-to-video model: its latent is noised part "
            "of the way and denoised again. For training pairs, and to see what a cascade has to mend.",
            search_aliases=["sdedit", "degradation", "training pairs", "SimpleGVR"],
            inputs=[
                io.Model.Input("model", tooltip="Your text-to-video model, a flow model (Wan, HunyuanVideo)."),
                io.Conditioning.Input("positive", tooltip="What the clip shows."),
                io.Conditioning.Input("negative", tooltip="The negative prompt."),
                io.Latent.Input("samples", tooltip="Latent of the clean clip, in the model's latent space. One video."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="alpha",
                    tooltip="alpha: start from exactly that share of noise (SimpleGVR). steps: the last k of all "
                    "steps of a whole run (UniMMVSR).",
                ),
                io.Float.Input(
                    "alpha",
                    default=0.35,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of noise at the start, 0 to 1, for mode alpha; 0.3 to 0.4 in SimpleGVR. 0 changes "
                    "nothing.",
                ),
                io.Int.Input(
                    "k",
                    default=10,
                    min=0,
                    max=10000,
                    tooltip="Steps that are walked, 0 to `steps`, for mode steps; 5 to 15 of 50 in UniMMVSR. 0 "
                    "changes nothing.",
                ),
                steps_input(
                    50,
                    "Steps, 1 to 10000. Mode alpha: those below alpha, each an evaluation. Mode steps: those of a "
                    "whole run.",
                ),
                io.Float.Input(
                    "cfg",
                    default=6.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Guidance of the model, 1 = off, 0 to 100.",
                ),
                io.Combo.Input(
                    "sampler_name", options=host.sampler_names(), default="euler", tooltip="Solver of ComfyUI's."
                ),
                scheduler_input("How the steps are spread; the model's shift shapes them."),
                seed_input("Seed of the noise."),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The degraded latent.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: list,
        negative: list,
        samples: dict[str, Any],
        mode: str,
        alpha: float,
        k: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        seed: int,
    ) -> io.NodeOutput:
        check_choice("mode", mode, MODES)
        check_choice("sampler_name", sampler_name, host.sampler_names())
        latent = video_latent(samples)
        if mode == "alpha":
            # The check of the model comes first: alpha 0 is no way around it.
            sigmas = partial_schedule(model, scheduler, steps, alpha or 1.0, sampler=sampler_name)
            unchanged = alpha == 0
        else:
            sigmas = last_steps(model, scheduler, steps, k, sampler=sampler_name)
            unchanged = k == 0
        if unchanged:
            return io.NodeOutput(samples)
        guider = host.CFGGuider(model)
        guider.set_conds(positive, negative)
        guider.set_cfg(cfg)
        noise = frame_noise(latent, seed=seed, purpose=SAMPLING)
        sampler = host.sampler_object(sampler_name)
        return io.NodeOutput(host.run_guider(guider, noise, {**samples, "samples": latent}, sampler, sigmas, seed))
