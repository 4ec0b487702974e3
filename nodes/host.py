"""The one place that adapts to ComfyUI: its classes, versions, devices, attention, progress, files and pixel layout.

Everything else in `nodes` takes ComfyUI's things from here, so a change of the host is a change of this file. Written
for 0.3.64 and later; where versions differ, what is there decides, never a version number.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.conds
import comfy.latent_formats
import comfy.ldm.modules.attention
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.patcher_extension
import comfy.sample
import comfy.samplers
import comfy.sd
import comfy.supported_models_base
import comfy.utils
import folder_paths
import latent_preview
import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor, nn

from ..gvr_core.attention import DenseAttention, full_attention

BaseModel, ModelType = comfy.model_base.BaseModel, comfy.model_base.ModelType
ModelConfig = comfy.supported_models_base.BASE
LatentFormat = comfy.latent_formats.LatentFormat
CFGGuider, KSAMPLER = comfy.samplers.CFGGuider, comfy.samplers.KSAMPLER
VAE = comfy.sd.VAE
CONDConstant, CONDRegular = comfy.conds.CONDConstant, comfy.conds.CONDRegular
ModelPatcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
ProgressBar = comfy.utils.ProgressBar

OVERRIDE = "optimized_attention_override"
"""Key of transformer_options: a function that other packs and our own put in front of the attention backend."""
MODEL_FOLDERS = ("gvr", "diffusion_models")
"""Folder names of `models` and of extra_model_paths.yaml in which cascades are looked for, first hit wins."""


def schema(**fields: Any) -> io.Schema:
    """A V3 schema; fields that this host does not know yet (`search_aliases` on 0.3.64) are left out."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return io.Schema(**{name: value for name, value in fields.items() if name in known})


# Files


def register_model_folder() -> None:
    """Makes `models/gvr` a model folder, keeping what extra_model_paths.yaml has added to it."""
    folder_paths.add_model_folder_path("gvr", str(Path(folder_paths.models_dir) / "gvr"))
    paths, _ = folder_paths.folder_names_and_paths["gvr"]
    # Added by a path alone a folder has no extensions, which lists every file in it.
    folder_paths.folder_names_and_paths["gvr"] = (paths, {".safetensors"})


def model_files() -> list[str]:
    """Names of the safetensors files of `MODEL_FOLDERS`, each once, sorted inside their folder."""
    names = [name for folder in MODEL_FOLDERS for name in folder_paths.get_filename_list(folder)]
    return list(dict.fromkeys(name for name in names if name.endswith(".safetensors")))


def model_path(name: str) -> Path:
    """The file of a name in `model_files`. Raises ValueError where it is gone."""
    for folder in MODEL_FOLDERS:
        path = folder_paths.get_full_path(folder, name)
        if path is not None:
            return Path(path)
    folders = [path for folder in MODEL_FOLDERS for path in folder_paths.get_folder_paths(folder)]
    raise ValueError(f"no file {name} in {', '.join(folders)}: put it there, or press R to read the folders again")


def temp_folder() -> Path:
    """Where files live until the host starts again; its `/view` route serves them."""
    return Path(folder_paths.get_temp_directory())


def user_file(name: str) -> Path:
    """Where a file of ours lies in the host's user folder; the folder may not be there yet."""
    return Path(folder_paths.get_user_directory()) / "gvr" / name


def input_file(name: str) -> Path:
    """A file of the input folder by the name a loader has for it. Raises ValueError where there is none."""
    if not folder_paths.exists_annotated_filepath(name):
        raise ValueError(f"no file {name} in the input folder: upload it again")
    return Path(folder_paths.get_annotated_filepath(name))


# The page


def add_route(method: str, path: str, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answers requests of the page with JSON, off the event loop; without a server it does nothing.

    Args:
        method: "GET", whose query is the question, or "POST", whose body is, as a JSON object.
        path: of the route, below `/api` too.
        answer: from question to answer. Its ValueErrors are answers as well, `{"problem": text}`: an error status
            would stand in the page's console as a fault of the page.
    """
    import server
    from aiohttp import web

    instance = getattr(server.PromptServer, "instance", None)
    if instance is None:
        return

    async def handle(request: web.Request) -> web.Response:
        try:
            question = dict(request.query) if method == "GET" else await request.json()
            if not isinstance(question, dict):
                raise ValueError(f"the request holds a {type(question).__name__}, expected an object")
            found = await asyncio.get_running_loop().run_in_executor(None, answer, question)
        except ValueError as error:
            found = {"problem": str(error)}
        return web.json_response(found)

    instance.routes.route(method, path)(handle)


# Models and devices


class WholePatcher(comfy.model_patcher.ModelPatcher):
    """Loads a small module whole or not at all.

    Where memory is short ComfyUI leaves weights behind and layers fetch them when they run. Only layers of its own can;
    plain PyTorch ones would meet their input with weights on another device.
    """

    def load(
        self,
        device_to: torch.device | None = None,
        lowvram_model_memory: float = 0,
        force_patch_weights: bool = False,
        full_load: bool = False,
    ) -> None:
        """As the host's, but all weights move, whatever it allows."""
        super().load(device_to, force_patch_weights=force_patch_weights, full_load=True)

    def partially_unload(self, *_: Any, **__: Any) -> int:
        """Frees nothing, after which the host unloads all of it."""
        return 0


def place(model: nn.Module, patcher: type = ModelPatcher) -> comfy.model_patcher.ModelPatcher:
    """A module under ComfyUI's memory management, its weights waiting on the offload device.

    `patcher` is `WholePatcher` for a small module of plain PyTorch layers.
    """
    load, offload = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
    return patcher(model.to(offload), load_device=load, offload_device=offload)


def load_models(*patchers: Any, memory: int = 0) -> torch.device:
    """Brings models to the computing device, making room for `memory` more bytes; returns the device."""
    comfy.model_management.load_models_gpu(list(patchers), memory_required=memory)
    return comfy.model_management.get_torch_device()


def intermediate_device() -> torch.device:
    """Where latents and images wait between nodes."""
    return comfy.model_management.intermediate_device()


def choose_dtypes(tensors: dict[str, Tensor], wanted: torch.dtype | None) -> tuple[torch.dtype, torch.dtype | None]:
    """Dtype of the weights, and of the computation where that differs (else None), as ComfyUI's own loaders choose."""
    return plan_dtypes(comfy.utils.weight_dtype(tensors), sum(tensor.numel() for tensor in tensors.values()), wanted)


def plan_dtypes(
    stored: torch.dtype | None, parameters: int, wanted: torch.dtype | None
) -> tuple[torch.dtype, torch.dtype | None]:
    """As `choose_dtypes`, from the stored dtype and the number of parameters alone."""
    management = comfy.model_management
    supported = [torch.bfloat16, torch.float16, torch.float32]
    weights = wanted or management.unet_dtype(model_params=parameters, supported_dtypes=supported, weight_dtype=stored)
    return weights, management.unet_manual_cast(weights, management.get_torch_device(), supported)


def computing_device() -> torch.device:
    """Where models run."""
    return comfy.model_management.get_torch_device()


def free_memory(device: torch.device) -> int:
    """Bytes of a device that a model could have, those of loaded models included: ComfyUI unloads them for it."""
    management = comfy.model_management
    loaded = [entry for entry in management.current_loaded_models if entry.device == device]
    return int(management.get_free_memory(device)) + sum(entry.model_loaded_memory() for entry in loaded)


def unused_memory(device: torch.device) -> int:
    """Bytes of a device that nothing has taken."""
    return int(comfy.model_management.get_free_memory(device))


def load_weights(model: BaseModel, patcher: Any, tensors: dict[str, Tensor]) -> None:
    """Loads a diffusion model's own state dict; newer hosts keep the tensors themselves where that saves memory."""
    assigns = "assign" in inspect.signature(model.load_model_weights).parameters
    model.load_model_weights(tensors, "", **({"assign": patcher.is_dynamic()} if assigns else {}))


def host_latent_format(space: str) -> type[LatentFormat] | None:
    """ComfyUI's class for one of our latent spaces, None where this version has none."""
    name = {"wan21": "Wan21", "wan22": "Wan22", "hunyuan": "HunyuanVideo", "hunyuan15": "HunyuanVideo15"}.get(space)
    return getattr(comfy.latent_formats, name, None) if name else None


# Sampling. ComfyUI's functions are looked up when they are called: other packs replace them.


def check_interrupt() -> None:
    """Raises where the user has pressed stop. Compiled models do not ask: the question cuts their graph in pieces."""
    if torch.compiler.is_compiling():
        return
    comfy.model_management.throw_exception_if_processing_interrupted()


def calc_cond_batch(model: Any, conds: list, x: Tensor, timestep: Tensor, options: dict[str, Any]) -> list[Tensor]:
    """Denoised latents of several conditions, in as few model calls as shapes and memory allow."""
    return comfy.samplers.calc_cond_batch(model, conds, x, timestep, options)


def blocked(message: str) -> ExecutionBlocker:
    """An output that fails with a message the nodes that use it, and no others."""
    return ExecutionBlocker(message)


def dense_attention(device: torch.device, transformer_options: dict[str, Any]) -> DenseAttention:
    """The user's attention backend, with the overrides of other packs, as gvr_core calls attention."""
    if device.type == "cpu" and OVERRIDE not in transformer_options:
        # ComfyUI's choice for CPUs saves memory that attention inside windows does not need, and is slower.
        return full_attention

    def dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return comfy.ldm.modules.attention.optimized_attention(
            q, k, v, q.shape[1], skip_reshape=True, skip_output_reshape=True, transformer_options=transformer_options
        )

    return dense


def with_diffusion_model_wrapper(model: Any, key: str, wrapper: Callable) -> Any:
    """A clone of a MODEL whose diffusion model is called through `wrapper(executor, *args, **kwargs)`."""
    clone = model.clone()
    clone.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, key, wrapper)
    return clone


def with_run_wrapper(model: Any, key: str, wrapper: Callable) -> None:
    """Puts `wrapper(executor, *args, **kwargs)` around every sampling run of a MODEL and of its clones."""
    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, key, wrapper)


def with_evaluation_wrapper(model: Any, key: str, wrapper: Callable) -> None:
    """Puts `wrapper(executor, x, sigma, *args, **kwargs)` around every evaluation of a MODEL and of its clones."""
    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, key, wrapper)


def percent_to_sigma(model: BaseModel, percent: float) -> float:
    """The sigma at which a share of a run, 0 to 1, is done, of the model inside a MODEL while it is sampled."""
    return float(model.model_sampling.percent_to_sigma(percent))


def wrap_diffusion_model(forward: Callable, owner: nn.Module, transformer_options: dict[str, Any]) -> Callable:
    """`forward` inside the wrappers that other packs have put around diffusion models."""
    extension = comfy.patcher_extension
    wrappers = extension.get_all_wrappers(extension.WrappersMP.DIFFUSION_MODEL, transformer_options)
    return extension.WrapperExecutor.new_class_executor(forward, owner, wrappers).execute


def is_flow(model: Any) -> bool:
    """Whether a MODEL is a flow model, x_sigma = (1 - sigma) clean + sigma noise."""
    return isinstance(model.get_model_object("model_sampling"), comfy.model_sampling.CONST)


class ShiftedFlow(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
    """Noise levels of a flow model."""


class Schedule:
    """Stands where a flow MODEL is asked for its noise levels and there is none yet.

    Args:
        shift: of its sigmas.
    """

    def __init__(self, shift: float) -> None:
        self._sampling = ShiftedFlow(None)
        self._sampling.set_parameters(shift=shift)

    def get_model_object(self, name: str) -> ShiftedFlow:
        """The noise levels. Raises AttributeError for anything else."""
        if name != "model_sampling":
            raise AttributeError(f"a schedule has no {name}")
        return self._sampling


def with_shift(model: Any, shift: float) -> Any:
    """A clone of a flow MODEL with another shift of its sigmas."""
    sampling = ShiftedFlow(model.model.model_config)
    # ModelSamplingFlux leaves noise levels that have none; flow models of video count their timesteps to 1000.
    multiplier = getattr(model.get_model_object("model_sampling"), "multiplier", 1000)
    sampling.set_parameters(shift=shift, multiplier=multiplier)
    clone = model.clone()
    clone.add_object_patch("model_sampling", sampling)
    return clone


def scheduler_names() -> list[str]:
    """Names of ComfyUI's schedulers, with those that other packs have added."""
    return list(comfy.samplers.KSampler.SCHEDULERS)


def sampler_names() -> list[str]:
    """Names of ComfyUI's samplers, with those that other packs have added."""
    return list(comfy.samplers.KSampler.SAMPLERS)


def sampler_object(name: str) -> Any:
    """The SAMPLER of a name."""
    return comfy.samplers.sampler_object(name)


def calculate_sigmas(model: Any, scheduler: str, steps: int, sampler: str = "euler") -> Tensor:
    """The schedule ComfyUI's KSampler would use for a whole run."""
    drops = sampler in getattr(comfy.samplers.KSampler, "DISCARD_PENULTIMATE_SIGMA_SAMPLERS", ())
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), scheduler, steps + drops)
    return torch.cat([sigmas[:-2], sigmas[-1:]]) if drops else sigmas


def run_guider(guider: CFGGuider, noise: Tensor, latent: dict, sampler: Any, sigmas: Tensor, seed: int) -> dict:
    """Samples like SamplerCustomAdvanced: progress, previews, noise mask. Returns the LATENT."""
    model = guider.model_patcher
    samples = guider.sample(
        noise,
        latent["samples"],
        sampler,
        sigmas,
        denoise_mask=latent.get("noise_mask"),
        callback=latent_preview.prepare_callback(model, len(sigmas) - 1),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
    return {**latent, "samples": samples.to(intermediate_device())}


def set_values(conditioning: list, values: dict[str, Any]) -> list:
    """A copy of a CONDITIONING with values set in every entry."""
    return [[tensor, {**entry, **values}] for tensor, entry in conditioning]


# VAEs


@contextmanager
def _without_message(text: str) -> Iterator[None]:
    """Keeps one message of the root logger from being shown."""

    def is_other(record: logging.LogRecord) -> bool:
        return text not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)


def prepare_vae(vae: VAE, module: nn.Module) -> None:
    """Makes `vae`, an instance of a subclass of ComfyUI's VAE, one for `module`, which has `encode` and `decode`.

    ComfyUI recognises VAEs by their tensors. Given none its constructor only sets defaults, and says so; what comes
    after is done here.
    """
    with _without_message("No VAE weights detected"):
        VAE.__init__(vae, sd={})
    management = comfy.model_management
    vae.first_stage_model = module.eval()
    vae.working_dtypes = [torch.float32]
    vae.vae_dtype = torch.float32
    vae.device = management.vae_device()
    vae.output_device = management.intermediate_device()
    vae.patcher = WholePatcher(module, load_device=vae.device, offload_device=management.vae_offload_device())
