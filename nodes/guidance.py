"""Multi-condition guidance as a GUIDER (U A.3; the formula is `gvr_core.guidance`)."""

from __future__ import annotations

import logging
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..gvr_core.guidance import MultiGuidance
from . import host
from .choices import check_choice
from .model import cascade_of

log = logging.getLogger("gvr")

NULL_REFERENCES = ("drop", "zeros")
FULL, NULL_TEXT, NULL_REFERENCE = "positive", "negative", "without_references"


class MultiCFG(host.CFGGuider):
    """v + s_txt (v - v(null text)) + s_ref [step < n_ref] (v - v(null references)), each prediction only where needed.

    The combination is affine with coefficients that add up to 1, and for a flow model the denoised latent is affine in
    the velocity, so it is applied to denoised latents, which is what ComfyUI's samplers and hooks work with.
    """

    def __init__(
        self,
        model: Any,
        positive: list,
        negative: list,
        guidance: MultiGuidance,
        null_reference: str,
        schedule: Tensor | None = None,
    ) -> None:
        """Sets up the conditions.

        Args:
            model: a cascade.
            positive: its condition, with text and references.
            negative: as positive, with the null text.
            guidance: the scales.
            null_reference: of `NULL_REFERENCES`.
            schedule: sigmas of the whole schedule, where runs go through parts of it; None counts each run's own steps.

        Raises:
            ValueError: the model is no cascade or a choice is unknown.
        """
        super().__init__(model)
        check_choice("null_reference", null_reference, NULL_REFERENCES)
        self.guidance, self.schedule, self.has_said = guidance, schedule, False
        self.has_text = cascade_of(model).config.text_dim > 0
        references = {
            key: positive[0][1][key] for key in ("gvr_references", "gvr_reference_images") if _has(positive, key)
        }
        self.has_references = bool(references)
        conds = {FULL: positive, NULL_TEXT: host.set_values(negative, references)}
        if references:
            null = {"gvr_null_references": True} if null_reference == "zeros" else {"gvr_references": None}
            conds[NULL_REFERENCE] = host.set_values(positive, null)
        # The pairs that `MultiGuidance` speaks of; a class-free model has no prediction with null text.
        null_text = (False, self.has_references) if self.has_text else None
        self.predictions = [(FULL, (self.has_text, self.has_references)), (NULL_TEXT, null_text)]
        if references:
            self.predictions.append((NULL_REFERENCE, (self.has_text, False)))
        self.inner_set_conds(conds)
        self.set_cfg(1.0 + guidance.s_txt)

    def sample(
        self, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor, *args: Any, **kw: Any
    ) -> Tensor:
        """As CFGGuider. Raises ValueError where n_ref exceeds the steps."""
        whole = sigmas if self.schedule is None else self.schedule
        if self.has_references and self.guidance.s_ref > 0 and len(whole) > 1:
            self.guidance.validate(len(whole) - 1)
        return super().sample(noise, latent_image, sampler, sigmas, *args, **kw)

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: int | None = None
    ) -> Tensor:
        """The guided denoised latent at x; pre- and post-CFG hooks of other packs run as in ComfyUI's own guidance."""
        options = model_options or {}
        whole = options["transformer_options"]["sample_sigmas"] if self.schedule is None else self.schedule
        step = step_index(whole, float(timestep[0]))
        state = {"has_text": self.has_text, "has_references": self.has_references}
        needed = set(self.guidance.evaluations(step, **state))
        if options.get("disable_cfg1_optimization", False) and self.has_text:
            needed.add((False, self.has_references))
        conds = [self.conds[name] if pair in needed else None for name, pair in self.predictions]
        # A prediction that is left out guides nowhere: to hooks it is the main one, not the zeros that ComfyUI gives.
        denoised = self._evaluate(conds, x, timestep, options)
        denoised = [denoised[0] if cond is None else value for cond, value in zip(conds, denoised, strict=True)]
        hook = {
            "input": x,
            "sigma": timestep,
            "timestep": timestep,
            "cond_scale": self.cfg,
            "model": self.inner_model,
            "model_options": options,
        }
        for function in options.get("sampler_pre_cfg_function", []):
            denoised = function({**hook, "conds": conds, "conds_out": denoised})
        pairs = [pair for _, pair in self.predictions]
        predictions = {pair: value for pair, value in zip(pairs, denoised, strict=True) if pair in needed}
        result = self.guidance.combine(predictions, step, **state)
        other = options.get("sampler_cfg_function")
        if other is not None:
            result = self._replaced(other, result, denoised, conds, hook)
        for function in options.get("sampler_post_cfg_function", []):
            result = function(
                {
                    **hook,
                    "denoised": result,
                    "cond": conds[0],
                    "uncond": conds[1],
                    "cond_denoised": denoised[0],
                    "uncond_denoised": denoised[1],
                }
            )
        return result

    def _replaced(self, other: Any, result: Tensor, denoised: list, conds: list, hook: dict[str, Any]) -> Tensor:
        """Another pack's CFG formula in the place of ours, as long as text is all there is to guide by."""
        if any(cond is not None for cond in conds[2:]):
            if not self.has_said:
                log.warning("a CFG function of another node (such as RescaleCFG) acts only without reference guidance")
                self.has_said = True
            return result
        x, cond, uncond = hook["input"], denoised[0], denoised[1]
        predictions = {"cond": x - cond, "uncond": x - uncond, "cond_denoised": cond, "uncond_denoised": uncond}
        return x - other({**hook, **predictions, "input_cond": conds[0], "input_uncond": conds[1]})

    def _evaluate(self, conds: list, x: Tensor, timestep: Tensor, options: dict[str, Any]) -> list[Tensor]:
        """Denoised latents of the conditions that are not None, in one model call where shapes and memory allow."""
        other = options.get("sampler_calc_cond_batch_function")
        if other is None:
            return host.calc_cond_batch(self.inner_model, conds, x, timestep, options)
        # Functions of other packs know of two conditions, with text and without; the third is ours.
        call = {"input": x, "sigma": timestep, "model": self.inner_model, "model_options": options}
        denoised = list(other({**call, "conds": conds[:2]}))
        for cond in conds[2:]:
            alone = [] if cond is None else host.calc_cond_batch(self.inner_model, [cond], x, timestep, options)
            denoised.append(alone[0] if alone else denoised[0])
        return denoised


def _has(conditioning: list, key: str) -> bool:
    return bool(conditioning) and conditioning[0][1].get(key) is not None


def step_index(sigmas: Tensor, sigma: float) -> int:
    """Index of the step that an evaluation at `sigma` belongs to; stages between two sigmas count to the earlier one.

    Args:
        sigmas: the schedule, descending, `(num_steps + 1,)`.
        sigma: of the evaluation.
    """
    reached = int((sigmas[:-1] >= sigma - 1e-6 * max(1.0, abs(sigma))).sum())
    return max(0, reached - 1)


def guidance_inputs() -> list[Any]:
    """The widgets of `MultiGuidance`, shared by the guider and the sampler."""
    return [
        io.Float.Input(
            "s_txt",
            default=3.0,
            min=0.0,
            max=30.0,
            step=0.1,
            tooltip="Text guidance, 0 to 30, 0 = off. One less than the usual CFG: 3.0 here is CFG 4.0. Without "
            "effect on a class-free cascade.",
        ),
        io.Float.Input(
            "s_ref",
            default=1.0,
            min=0.0,
            max=30.0,
            step=0.1,
            tooltip="Reference guidance, 0 to 30, 0 = off. Without effect when there are no references.",
        ),
        io.Int.Input(
            "n_ref",
            default=15,
            min=0,
            max=10000,
            tooltip="Reference guidance acts in the first n_ref steps, 0 up to the number of steps; later it would "
            "over-sharpen. UniMMVSR uses 15 of 50.",
        ),
        io.Combo.Input(
            "null_reference",
            options=list(NULL_REFERENCES),
            default="drop",
            tooltip="What `no reference` means: drop leaves the tokens out (as in training, and less work); zeros "
            "keeps them empty, so that all predictions fit into one model call.",
        ),
    ]


class MultiCFGGuider(io.ComfyNode):
    """The GUIDER for SamplerCustomAdvanced."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRMultiCFGGuider",
            display_name="Multi-CFG Guider",
            category="GVR",
            description="Guides by text and by references with separate strengths, for SamplerCustomAdvanced.",
            search_aliases=["dual cfg", "UniMMVSR", "guidance"],
            inputs=[
                io.Model.Input("model", tooltip="The cascade (Load GVR Cascade)."),
                io.Conditioning.Input("positive", tooltip="From Latent Cascade Upsample or Reference Tokens."),
                io.Conditioning.Input("negative", tooltip="From Latent Cascade Upsample or Reference Tokens."),
                *guidance_inputs(),
                io.Sigmas.Input(
                    "schedule",
                    optional=True,
                    tooltip="The whole schedule, before SplitSigmas, where sampling is split over several samplers: "
                    "n_ref counts its steps. Leave it empty for one sampler: then the steps are the sampler's own.",
                ),
            ],
            outputs=[io.Guider.Output(display_name="guider", tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: list,
        negative: list,
        s_txt: float,
        s_ref: float,
        n_ref: int,
        null_reference: str,
        schedule: Tensor | None = None,
    ) -> io.NodeOutput:
        guidance = MultiGuidance(s_txt=s_txt, s_ref=s_ref, n_ref=n_ref)
        return io.NodeOutput(MultiCFG(model, positive, negative, guidance, null_reference, schedule))
