"""Load GVR Cascade."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..gvr_core.cascade import nano_path
from ..gvr_core.checkpoints import load_part, read_header
from . import host
from .choices import check_choice
from .model_loading import load_cascade
from .vae import BundledVAE, MissingVAE, rgb_factors

NANO = "nano (bundled)"
DTYPES = {
    "default": None,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}


class LoadCascade(io.ComfyNode):
    """A checkpoint as MODEL and VAE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRLoadCascade",
            display_name="Load GVR Cascade",
            category="GVR",
            description="Loads a cascade: the model that turns a low-resolution video latent into a sharp one.",
            search_aliases=["super resolution", "video upscale", "SimpleGVR", "UniMMVSR", "upscale model"],
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=[NANO, *host.model_files()],
                    default=NANO,
                    tooltip="A cascade from models/gvr or models/diffusion_models (.safetensors). 'nano (bundled)' "
                    "is a small one in a latent space of its own, to try the graph without any download.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(DTYPES),
                    default="default",
                    tooltip="Number format of the weights. default: chosen by ComfyUI for your device. fp8 halves "
                    "the memory of bf16 and costs some quality.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The cascade, for every sampler."),
                io.Vae.Output(
                    display_name="vae",
                    tooltip="The VAE inside the checkpoint (nano has one). Cascades for Wan or Hunyuan have none: "
                    "use Load VAE with the VAE of the base model.",
                ),
            ],
        )

    @classmethod
    def execute(cls, checkpoint: str, weight_dtype: str) -> io.NodeOutput:
        check_choice("weight_dtype", weight_dtype, DTYPES)
        path = nano_path() if checkpoint == NANO else host.model_path(checkpoint)
        header = read_header(path)
        dtype = DTYPES[weight_dtype]
        if "vae" not in header.parts:
            return io.NodeOutput(load_cascade(path, dtype=dtype), MissingVAE(path.name, header.space))
        vae = load_part(path, "vae")
        return io.NodeOutput(load_cascade(path, dtype=dtype, rgb_factors=rgb_factors(vae)), BundledVAE(vae))

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str = NANO, weight_dtype: str = "default") -> tuple:
        """Read again when the file has changed."""
        if checkpoint == NANO:
            return checkpoint, weight_dtype
        status = host.model_path(checkpoint).stat()
        return checkpoint, weight_dtype, status.st_mtime_ns, status.st_size
