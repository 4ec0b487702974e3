"""The cascade's transformer as a native ComfyUI MODEL.

Samplers, schedulers, LoRA, ModelSampling nodes, previews, offloading and batching of conditions work on it as on every
other model, because it is one: gvr_core's DiT, built from the host's layers, inside the host's `BaseModel`.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..gvr_core.attention import attend, full_attention
from ..gvr_core.geometry import LatentSpace, latent_space
from ..gvr_core.models.blocks import run_block
from ..gvr_core.models.dit import DiT
from ..gvr_core.models.dit_config import DiTConfig
from ..gvr_core.references import time_indices
from . import host
from .block_patches import block_runner, without_place
from .stopwatch import Stopwatch

log = logging.getLogger("gvr")

ATTENTION = "gvr_attention"
"""Key of transformer_options: another `AttentionConfig` than the checkpoint's."""


class CascadeDiT(DiT):
    """gvr_core's DiT with the signature and the attributes by which ComfyUI calls a diffusion model."""

    def __init__(
        self, config: DiTConfig, *, operations: Any, device: Any = None, dtype: torch.dtype | None = None, **_: Any
    ) -> None:
        super().__init__(config, operations=operations, device=device, dtype=dtype)
        # RenormCFG and its like ask how many channels are sampled.
        self.dtype, self.in_channels = dtype, config.latent_channels
        self.stopwatch: Stopwatch | None = None
        self.has_said = False
        if dtype is not None and dtype.itemsize == 1:
            # A few MB, and more than a quarter of the error that 8 bits make (measured on nano).
            for name in ("patch_embedding", "time_embedding", "noise_embedding", "time_projection", "head"):
                part = getattr(self, name)
                if part is not None:
                    part.to(torch.float32)
        for block in self.blocks:
            # A single evaluation at 4K takes minutes: the stop button is heard between layers too.
            block.register_forward_pre_hook(lambda *_: host.check_interrupt())

    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        context: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] | None = None,
        **conditions: Any,
    ) -> Tensor:
        """The velocity at x, `b c t h w`; x holds the latent and behind it the condition, `b 2c t h w`.

        Args:
            x: as ComfyUI concatenates them.
            timestep: `(b,)`, 1000 * sigma.
            context: text tokens `b n d`.
            control: ControlNets, of which there are none for this model.
            transformer_options: of the host; holds the user's attention override and wrappers.
            conditions: noise_level, references and reference_images of `CascadeModel.extra_conds`.
        """
        options = {} if transformer_options is None else transformer_options
        # Wrappers of other packs look for the options at the end of the positional arguments.
        wrapped = host.wrap_diffusion_model(self._predict, self, options)
        return wrapped(x, timestep, context, options, **conditions)

    def _predict(
        self,
        x: Tensor,
        timestep: Tensor,
        context: Tensor | None,
        transformer_options: dict[str, Any],
        *,
        noise_level: float = 0.0,
        references: Tensor | None = None,
        reference_images: int = 0,
        **_: Any,
    ) -> Tensor:
        host.check_interrupt()
        latent, condition = x.split([self.config.latent_channels, self.config.condition_channels], dim=1)
        self.dense = host.dense_attention(x.device, transformer_options)
        self.attention = transformer_options.get(ATTENTION, self.config.attention)
        times: list[int] = []
        if references is not None:
            # Of the frames that are evaluated: with Context Windows they are fewer than the clip's.
            video = references.shape[2] - reference_images
            _, times = time_indices(latent.shape[2], reference_images, video, self.config.reference_ranges)
        self._tell(transformer_options)
        timed = None
        if self.stopwatch is not None and not self._is_compiled():
            timed = self.stopwatch.begin(latent, references, self.attention)
        if timed is not None:
            self.attend = timed.attend
        self.run_block = block_runner(transformer_options)
        try:
            return super().forward(
                latent,
                timestep,
                context,
                condition=condition,
                noise_level=noise_level,
                references=references,
                reference_times=times,
            )
        finally:
            # The options hold other packs' tensors, which must not outlive the call.
            self.dense, self.attention, self.attend = full_attention, self.config.attention, attend
            self.run_block = run_block
            if timed is not None:
                self.stopwatch.end(timed)

    def _is_compiled(self) -> bool:
        """Whether the model or its blocks go through torch.compile: clocks have no place in what is compiled."""
        if torch.compiler.is_compiling():
            return True
        return any(hasattr(b, "_orig_mod") or getattr(b, "_compiled_call_impl", None) for b in self.blocks)

    def _tell(self, transformer_options: dict[str, Any]) -> None:
        """Warns, once for each model, of patches that can have no effect."""
        if self.has_said or torch.compiler.is_compiling():
            return
        names = without_place(transformer_options, len(self.blocks))
        if names:
            log.warning(
                "a node before the sampler changes parts that a cascade does not have (%s): that node has no effect, "
                "take it out",
                ", ".join(names),
            )
            self.has_said = True


class CascadeModel(host.BaseModel):
    """The cascade between ComfyUI's samplers and `CascadeDiT`: turns CONDITIONING values into model inputs.

    Attributes:
        header: of the checkpoint.
        config: of the DiT.
        upsampler: the latent upsampler under memory management, None where the checkpoint has none.
    """

    def __init__(self, model_config: Any, device: torch.device | None = None) -> None:
        config = model_config.dit
        super().__init__(model_config, host.ModelType.FLOW, device=device, unet_model=partial(CascadeDiT, config))
        self.header, self.config, self.upsampler = model_config.header, config, None
        self.memory_usage_factor_conds = ("references",)

    @property
    def space(self) -> LatentSpace:
        """The latent space it works in."""
        return latent_space(self.header.space)

    def concat_cond(self, **values: Any) -> Tensor:
        """The low-resolution condition in model space, `b c t h w`.

        Raises:
            ValueError: there is none, or it belongs to another latent than the one being sampled.
        """
        noise, condition = values["noise"], values.get("concat_latent_image")
        if condition is None:
            raise ValueError(
                "the cascade got no low-resolution latent: connect positive and negative from Latent Cascade "
                "Upsample, with the cascade connected to its model input"
            )
        if condition.shape[1:] != noise.shape[1:]:
            raise ValueError(
                f"the cascade samples a latent of shape {tuple(noise.shape)} but its condition has "
                f"{tuple(condition.shape)}, expected the same: connect `latent` (or `upsampled`) of the Latent "
                "Cascade Upsample node that made the condition"
            )
        return self.process_latent_in(condition.to(values["device"], torch.float32))

    def extra_conds(self, **values: Any) -> dict[str, Any]:
        """Model inputs of one CONDITIONING: the condition, its noise level, text and references.

        Raises:
            ValueError: as `concat_cond`; a prompt of another text encoder, or too many references.
        """
        conds = super().extra_conds(**values)
        conds.pop("c_crossattn", None)
        if self.config.text_dim:
            conds["c_crossattn"] = host.CONDRegular(self._text(values.get("cross_attn")))
        conds["noise_level"] = host.CONDConstant(float(values.get("gvr_noise_level", 0.0)))
        references = values.get("gvr_references")
        if references is not None:
            if values.get("prompt_type") == "positive" and not self.header.inference.references:
                log.warning("this checkpoint was not trained with references: they will not have the effect you expect")
            latents = self.process_latent_in(references.to(values["device"], torch.float32))
            if values.get("gvr_null_references"):
                latents = torch.zeros_like(latents)
            conds["references"] = host.CONDRegular(latents)
            conds["reference_images"] = host.CONDConstant(int(values["gvr_reference_images"]))
        return conds

    def _apply_model(
        self,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] | None = None,
        **conditions: Any,
    ) -> Tensor:
        """As the host's, with the condition cut to the Context Window, which ComfyUI 0.3.64 does not do."""
        options = {} if transformer_options is None else transformer_options
        window = options.get("context_window")
        if window is not None and c_concat is not None and c_concat.shape[2] != x.shape[2]:
            c_concat = window.get_tensor(c_concat, c_concat.device)
        return super()._apply_model(x, t, c_concat, c_crossattn, control, options, **conditions)

    def extra_conds_shapes(self, **values: Any) -> dict[str, list[int]]:
        """Sizes that the memory estimate counts beside the latent."""
        references = values.get("gvr_references")
        return {} if references is None else {"references": list(references.shape)}

    def resize_cond_for_context_window(self, cond_key: str, cond_value: Any, *_: Any, **__: Any) -> Any:
        """References belong to every window, whatever their length; all else is cut by the host."""
        return cond_value if cond_key in ("references", "reference_images") else None

    def _text(self, tokens: Tensor | None) -> Tensor:
        wanted = self.config.text_dim
        if tokens is None:
            raise ValueError(
                "this cascade was trained with text but gets no prompt: connect positive and negative of Latent "
                "Cascade Upsample to CLIP Text Encode"
            )
        if tokens.ndim != 3 or tokens.shape[2] != wanted:
            raise ValueError(
                f"the prompt is encoded as {tuple(tokens.shape)}, this cascade expects {wanted} channels: use the "
                "text encoder of its base model (umt5-xxl for Wan)"
            )
        return tokens


def cascade_of(model: Any) -> CascadeModel:
    """The cascade inside a MODEL. Raises ValueError for any other model."""
    if not isinstance(model.model, CascadeModel):
        raise ValueError(
            f"the model is {type(model.model).__name__}, an ordinary one and no cascade: connect Load GVR Cascade"
        )
    return model.model
