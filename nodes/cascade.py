"""Latent Cascade Upsample: the low-resolution latent becomes the condition of the cascade."""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..gvr_core.cascade import UPSAMPLERS, augment, upsample
from ..gvr_core.geometry import LATENT_SPACES, LatentSpace, UpscalePlan, plan_short_side, plan_upscale
from . import host
from .choices import check_choice
from .latents import check_space, size_of, video_latent, with_size
from .model import CascadeModel, cascade_of
from .vae import HostCodec, vae_space
from .widgets import seed_input

log = logging.getLogger("gvr")

TARGETS = ("scale", "720", "1080", "1440", "2160")
NOISE_OF_CHECKPOINT = -1.0


class LatentCascadeUpsample(io.ComfyNode):
    """Condition and empty latent for the cascade."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRLatentCascadeUpsample",
            display_name="Latent Cascade Upsample",
            category="GVR",
            description="Brings a low-resolution video latent to the target size and makes it the condition of a GVR "
            "cascade: connect positive, negative and latent to a sampler with the cascade as its model.",
            search_aliases=["latent upscale", "video upscale", "super resolution", "SimpleGVR"],
            inputs=[
                io.Latent.Input(
                    "samples", tooltip="Low-resolution video latent, straight from a Wan or Hunyuan sampler. One video."
                ),
                io.Combo.Input(
                    "target",
                    options=list(TARGETS),
                    default="scale",
                    tooltip="Size of the result: times `scale`, or the length of the shorter side in pixels (1080 = "
                    "1080p, portrait or landscape). Never smaller than the input.",
                ),
                io.Float.Input(
                    "scale",
                    default=2.0,
                    min=1.0,
                    max=8.0,
                    step=0.05,
                    tooltip="Output pixels per input pixel along a side, 1 to 8. Used when target is `scale`.",
                ),
                io.Float.Input(
                    "noise_aug",
                    default=NOISE_OF_CHECKPOINT,
                    min=-1.0,
                    max=0.95,
                    step=0.01,
                    tooltip="Noise mixed into the condition, 0 (none) to 0.95; -1 takes the checkpoint's own value. "
                    "Low is faithful, high restores more and invents more. Trained ranges: 0.3 to 0.6 for "
                    "SimpleGVR's recipe, 0.2 to 0.6 for UniMMVSR's, 0 to 0.3 for nano; outside its range a "
                    "checkpoint warns.",
                ),
                seed_input("Seed of the noise augmentation. Independent of the sampler's seed."),
                io.Combo.Input(
                    "upsampler",
                    options=list(UPSAMPLERS),
                    default="latent",
                    tooltip="latent: the cascade's own upsampler, no decoding. pixel: decode, enlarge, encode; needs "
                    "`vae`, suits any factor, and with `source_vae` bridges from another model's latent space.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The cascade (Load GVR Cascade). Leave it empty for training-free refinement with your "
                    "own model: then positive and negative pass through unchanged and `upsampled` is what you refine.",
                ),
                io.Conditioning.Input(
                    "positive",
                    optional=True,
                    tooltip="The prompt. Leave it empty only for a class-free cascade (nano).",
                ),
                io.Conditioning.Input(
                    "negative",
                    optional=True,
                    tooltip="The negative prompt. Leave it empty only for a class-free cascade.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="VAE of the cascade's latent space, for upsampler `pixel`."),
                io.Vae.Input(
                    "source_vae",
                    optional=True,
                    tooltip="VAE that decodes the incoming latent where it is of another space than the cascade's, "
                    "for example HunyuanVideo's before a cascade for Wan. For upsampler `pixel`.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="For the sampler or Reference Tokens."),
                io.Conditioning.Output(display_name="negative", tooltip="For the sampler or Reference Tokens."),
                io.Latent.Output(display_name="latent", tooltip="Empty latent of the target size, for the sampler."),
                io.Latent.Output(
                    display_name="upsampled",
                    tooltip="The enlarged latent without noise: a preview of the condition, or the start of a "
                    "training-free refinement (with Partial Sigmas).",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        samples: dict[str, Any],
        target: str,
        scale: float,
        noise_aug: float,
        seed: int,
        upsampler: str,
        model: Any = None,
        positive: list | None = None,
        negative: list | None = None,
        vae: Any = None,
        source_vae: Any = None,
    ) -> io.NodeOutput:
        check_choice("target", target, TARGETS)
        check_choice("upsampler", upsampler, UPSAMPLERS)
        latent = video_latent(samples)
        cascade = None if model is None else cascade_of(model)
        space = source = _space(cascade, vae, latent)
        if source_vae is not None:
            if upsampler != "pixel":
                raise ValueError("source_vae is connected, which only upsampler `pixel` uses: set upsampler to pixel")
            source = vae_space(source_vae)
            check_space(latent, source, owner="source_vae")
        elif cascade is not None or vae is not None:
            check_space(latent, space, owner="this cascade" if cascade else "the VAE")
        frames, height, width = size_of(samples, source)
        plan = _plan(space, height, width, target, scale)
        if plan.height % 2 or plan.width % 2:
            log.warning(
                "the result is %d x %d pixels, and most video files take even sides only: crop the input to even "
                "sides, or set scale above 1",
                *(plan.width, plan.height),
            )

        upsampled = _upsample(latent, plan, upsampler, cascade, vae, source_vae)
        size = {"frames": frames, "height": plan.height, "width": plan.width}
        if cascade is not None:
            values = _condition(cascade, upsampled, plan, upsampler, noise_aug, seed)
            positive = host.set_values(_prompt(positive, cascade), values)
            negative = host.set_values(_prompt(negative, cascade), values)
        return io.NodeOutput(
            _or_blocked(positive, "positive"),
            _or_blocked(negative, "negative"),
            with_size(torch.zeros_like(upsampled), **size),
            with_size(upsampled, **size),
            # For the cost line: sizes that the graph does not tell are known after the first run.
            ui={"gvr_source": [{"frames": frames, "height": height, "width": width}]},
        )


def _or_blocked(conditioning: list | None, name: str) -> Any:
    """The CONDITIONING; where there is none, nodes that use it are told so instead of running on nothing."""
    if conditioning is not None:
        return conditioning
    return host.blocked(f"{name} of Latent Cascade Upsample is used, but neither {name} nor model is connected to it")


def _space(cascade: CascadeModel | None, vae: Any, latent: Tensor) -> LatentSpace:
    """Where the target lives: the cascade's space, the VAE's, or what the number of channels suggests."""
    if cascade is not None:
        return cascade.space
    if vae is not None:
        return vae_space(vae)
    # Wan 2.1 and HunyuanVideo have the same strides; Wan 2.2 5B and nano have not, with as many channels.
    fitting = [space for space in LATENT_SPACES.values() if space.channels == latent.shape[1]]
    if len({(space.spatial, space.temporal) for space in fitting}) != 1:
        raise ValueError(
            f"a latent of {latent.shape[1]} channels does not tell its size in pixels: connect model, or the VAE of "
            "its model to vae"
        )
    return fitting[0]


def _plan(space: LatentSpace, height: int, width: int, target: str, scale: float) -> UpscalePlan:
    if target == "scale":
        return plan_upscale(space, height, width, scale=scale)
    return plan_short_side(space, height, width, int(target))


def _upsample(
    latent: Tensor, plan: UpscalePlan, route: str, cascade: CascadeModel | None, vae: Any, source_vae: Any
) -> Tensor:
    """The latent on the target grid, raw, on the intermediate device."""
    if route == "pixel":
        if vae is None:
            raise ValueError("upsampler `pixel` needs `vae`: connect the VAE of the cascade's latent space")
        if cascade is not None and vae.latent_channels != cascade.space.channels:
            raise ValueError(
                f"`vae` makes latents of {vae.latent_channels} channels, the cascade works in {cascade.space.name} "
                f"with {cascade.space.channels}: connect the cascade's VAE to vae, and the other one to source_vae"
            )
        codec = HostCodec(decoder=source_vae if source_vae is not None else vae, encoder=vae)
        return upsample(latent, plan, route=route, vae=codec).to(host.intermediate_device())
    if cascade is None:
        return upsample(latent, plan)
    module, device = None, host.load_models()
    if cascade.upsampler is not None:
        module = cascade.upsampler.model
        memory = module.inference_bytes(latent, height=plan.latent_height, width=plan.latent_width)
        device = host.load_models(cascade.upsampler, memory=memory)
    with torch.inference_mode():
        result = upsample(cascade.process_latent_in(latent.to(device)), plan, upsampler=module)
    return cascade.process_latent_out(result).to(host.intermediate_device())


def _condition(
    cascade: CascadeModel, upsampled: Tensor, plan: UpscalePlan, route: str, noise_aug: float, seed: int
) -> dict[str, Any]:
    """What the cascade finds in CONDITIONING; latents there are raw, the noise is mixed in model space."""
    if noise_aug < 0 and noise_aug != NOISE_OF_CHECKPOINT:
        raise ValueError(f"noise_aug is {noise_aug}, expected 0 to 0.95, or -1 for the checkpoint's own value")
    inference = cascade.header.inference
    level = inference.noise_aug if noise_aug == NOISE_OF_CHECKPOINT else noise_aug
    run = {"scale": plan.scale, "noise_aug": level, "upsampler": route}
    for note in inference.outside_training(**run, has_references=False):
        log.warning("%s", note)
    noisy = augment(cascade.process_latent_in(upsampled), noise_aug=level, seed=seed)
    return {
        "concat_latent_image": cascade.process_latent_out(noisy),
        "gvr_noise_level": level,
        "gvr_reference_ranges": cascade.config.reference_ranges,
    }


def _prompt(conditioning: list | None, cascade: CascadeModel) -> list:
    if conditioning is not None:
        return conditioning
    if cascade.config.text_dim:
        raise ValueError(
            "positive or negative is not connected, but this cascade was trained with text: connect CLIP Text "
            "Encode, with an empty text if there is nothing to say"
        )
    # The cascade drops it; some nodes of ComfyUI want a tensor to be there.
    return [[torch.zeros(1, 1, 1), {}]]
