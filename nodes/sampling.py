"""Multi-CFG Sampler, everything in one node, and PNDM as a SAMPLER."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..gvr_core.guidance import MultiGuidance
from ..gvr_core.noise import SAMPLING, frame_noise
from ..gvr_core.solvers import pndm
from . import host
from .choices import check_choice
from .guidance import MultiCFG, guidance_inputs
from .latents import video_latent
from .schedules import partial_schedule
from .widgets import scheduler_input, seed_input, steps_input

PNDM = "pndm"


def sample_pndm(
    model: Any, x: Tensor, sigmas: Tensor, extra_args: dict | None = None, callback: Any = None, disable: Any = None
) -> Tensor:
    """gvr_core's PNDM with the signature of ComfyUI's sampler functions.

    Args:
        model: denoiser, `model(x, sigma, **extra_args)` gives the denoised latent.
        x: latent at sigmas[0].
        sigmas: descending, of a flow model.
        extra_args: for the model.
        callback: called after each step with a dictionary, as ComfyUI's samplers do.
        disable: hides the console's progress bar; the node's own one is ComfyUI's callback.
    """
    ones = x.new_ones(len(x))

    def velocity(state: Tensor, sigma: float, step: int) -> Tensor:
        denoised = model(state, sigma * ones, **(extra_args or {}))
        if callback is not None:
            level = sigmas[step]
            callback({"x": state, "i": step, "sigma": level, "sigma_hat": level, "denoised": denoised})
        return (state - denoised) / sigma

    return pndm(velocity, x, sigmas)


class PNDMSampler(io.ComfyNode):
    """The papers' solver."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRPNDMSampler",
            display_name="PNDM (GVR)",
            category="GVR",
            description="Fourth-order linear multistep solver for flow models (UniMMVSR samples with it in 50 "
            "steps). One model evaluation a step. For SamplerCustom and SamplerCustomAdvanced.",
            search_aliases=["pndm", "adams bashforth"],
            inputs=[],
            outputs=[io.Sampler.Output(display_name="sampler", tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(host.KSAMPLER(sample_pndm))


class MultiCFGSampler(io.ComfyNode):
    """Guider, noise, schedule and solver in one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRMultiCFGSampler",
            display_name="Multi-CFG Sampler",
            category="GVR",
            description="Runs the cascade, guided by text and references with separate strengths. Noise and "
            "arithmetic are those of `python -m gvr_core upscale`: the same seeds give the same picture.",
            search_aliases=["ksampler", "video upscale", "super resolution", "UniMMVSR"],
            inputs=[
                io.Model.Input("model", tooltip="The cascade (Load GVR Cascade)."),
                io.Conditioning.Input("positive", tooltip="From Latent Cascade Upsample or Reference Tokens."),
                io.Conditioning.Input("negative", tooltip="From Latent Cascade Upsample or Reference Tokens."),
                io.Latent.Input(
                    "latent_image", tooltip="`latent` of Latent Cascade Upsample; `upsampled` for denoise < 1."
                ),
                seed_input(
                    "Seed of the noise that sampling starts from. Each frame has noise of its own: a longer clip "
                    "starts like a shorter one."
                ),
                steps_input(50, "Steps, 1 to 10000: 50 in UniMMVSR; the bundled nano is made for 3."),
                io.Combo.Input(
                    "sampler_name",
                    options=[PNDM, *host.sampler_names()],
                    default=PNDM,
                    tooltip="Solver: pndm as in UniMMVSR, or any of ComfyUI's.",
                ),
                scheduler_input("How the noise levels are spread over the steps; simple is even before the shift."),
                io.Float.Input(
                    "shift",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.01,
                    tooltip="Shift of the noise levels, above 0 to 100: more spends more steps at high noise. 0 "
                    "keeps the model's own (the checkpoint's, or that of a ModelSampling node).",
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of noise at the start, 0.01 to 1, exactly: 1 is pure noise; below 1 sampling "
                    "starts from the latent_image mixed with that much noise, and all steps are spent below it.",
                ),
                *guidance_inputs(),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="High-resolution latent, for Decode Video (GVR).")
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: list,
        negative: list,
        latent_image: dict[str, Any],
        seed: int,
        steps: int,
        sampler_name: str,
        scheduler: str,
        shift: float,
        denoise: float,
        s_txt: float,
        s_ref: float,
        n_ref: int,
        null_reference: str,
    ) -> io.NodeOutput:
        check_choice("sampler_name", sampler_name, [PNDM, *host.sampler_names()])
        guidance = MultiGuidance(s_txt=s_txt, s_ref=s_ref, n_ref=n_ref)
        samples = video_latent(latent_image)
        model = host.with_shift(model, shift) if shift else model
        guider = MultiCFG(model, positive, negative, guidance, null_reference)
        sigmas = partial_schedule(model, scheduler, steps, denoise, sampler=sampler_name)
        sampler = host.KSAMPLER(sample_pndm) if sampler_name == PNDM else host.sampler_object(sampler_name)
        noise = frame_noise(samples, seed=seed, purpose=SAMPLING)
        latent = {**latent_image, "samples": samples}
        return io.NodeOutput(host.run_guider(guider, noise, latent, sampler, sigmas, seed))
