"""What the tests measure inside the server: tensors, model evaluations, VAE calls, patched weights.

Counts are kept under a key that the prompt chooses, and read at `/gvr_test/counts`.
"""

import copy
import json
import time
from pathlib import Path

import comfy.patcher_extension
import folder_paths
import numpy as np
import torch
from aiohttp import web
from comfy_execution.utils import get_executing_context
from latent_preview import Latent2RGBPreviewer
from server import PromptServer

COUNTS = {}
CODING = ("encode", "decode", "encode_tiled", "decode_tiled")


@PromptServer.instance.routes.get("/gvr_test/counts")
async def get_counts(_request):
    return web.json_response(COUNTS)


class Anything(str):
    """A type that accepts every other one."""

    __slots__ = ()

    def __ne__(self, _other):
        return False

    __hash__ = str.__hash__


class Probe:
    """Writes every tensor in a value to the output folder and describes it in the prompt's result."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "gvr_test", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        name = ("STRING", {"default": "", "tooltip": "start of the files' names; empty writes none"})
        return {"required": {"value": (Anything("*"), {}), "name": name}}

    def run(self, value, name):
        found = {}
        _collect("", value, found)
        folder = Path(folder_paths.get_output_directory())
        for key, entry in found.items():
            tensor = entry.pop("tensor", None)
            if name and tensor is not None:
                entry["file"] = f"{name}{key}.npy".replace("/", "_")
                np.save(folder / entry["file"], tensor.numpy())
        return {"ui": {"gvr_probe": [json.dumps(found)]}}


def _collect(key, value, found):
    """Describes tensors and plain values of nested lists and dicts, under their path."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach().float().cpu()
        entry = {"shape": list(tensor.shape), "dtype": str(value.dtype), "tensor": tensor}
        statistics = {"mean": tensor.mean(), "std": tensor.std(correction=0), "min": tensor.min(), "max": tensor.max()}
        found[key] = {**entry, **{name: float(number) for name, number in statistics.items()}}
    elif isinstance(value, dict):
        for name, part in value.items():
            _collect(f"{key}/{name}", part, found)
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            _collect(f"{key}/{index}", part, found)
    elif isinstance(value, (str, int, float, bool, type(None))):
        found[key] = {"value": value}


class CountModel:
    """The model with its evaluations counted, each made to last a while longer if wished."""

    CATEGORY, FUNCTION, RETURN_TYPES = "gvr_test", "run", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        wait = {"default": 0.0, "min": 0.0, "max": 60.0, "tooltip": "seconds each evaluation lasts longer"}
        return {"required": {"model": ("MODEL", {}), "key": ("STRING", {}), "wait": ("FLOAT", wait)}}

    def run(self, model, key, wait):
        def counted(executor, x, *args, **kwargs):
            count = COUNTS.setdefault(key, {"calls": 0, "items": 0, "started": [], "sigmas": []})
            count["calls"] += 1
            count["items"] += len(x)
            count["started"].append(time.time())
            count["sigmas"].append(float(args[0][0]))
            time.sleep(wait)
            return executor(x, *args, **kwargs)

        model = model.clone()
        kind = comfy.patcher_extension.WrappersMP.APPLY_MODEL
        model.add_wrapper_with_key(kind, "gvr_test", counted)
        return (model,)


class Hooks:
    """The model with hooks before and after the guidance, counted; the latter replaces the result by zeros."""

    CATEGORY, FUNCTION, RETURN_TYPES = "gvr_test", "run", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL", {}), "key": ("STRING", {})}}

    def run(self, model, key):
        COUNTS[key] = {"pre": 0, "post": 0}

        def before(arguments):
            COUNTS[key]["pre"] += 1
            return arguments["conds_out"]

        def after(arguments):
            COUNTS[key]["post"] += 1
            return torch.zeros_like(arguments["denoised"])

        model = model.clone()
        model.set_model_sampler_pre_cfg_function(before)
        model.set_model_sampler_post_cfg_function(after)
        return (model,)


class Preview:
    """What the host would show of a latent while it is being sampled: a small picture of the first frame."""

    CATEGORY, FUNCTION, RETURN_TYPES = "gvr_test", "run", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL", {}), "samples": ("LATENT", {})}}

    def run(self, model, samples):
        latent_format = model.model.latent_format
        previewer = Latent2RGBPreviewer(latent_format.latent_rgb_factors, latent_format.latent_rgb_factors_bias)
        picture = previewer.decode_latent_to_preview(latent_format.process_in(samples["samples"]))
        return (torch.from_numpy(np.asarray(picture)).float()[None] / 255,)


class CountPatches:
    """How many weights of a model are patched, by a LoRA for instance."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "gvr_test", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL", {})}}

    def run(self, model):
        return {"ui": {"gvr_patches": [json.dumps(sorted(map(str, model.patches)))]}}


class CountVAE:
    """The VAE with its calls noted: which one, in which node, on what shape."""

    CATEGORY, FUNCTION, RETURN_TYPES = "gvr_test", "run", ("VAE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"vae": ("VAE", {}), "key": ("STRING", {})}}

    def run(self, vae, key):
        # The methods of the copy call those of the original, so what they call on the way is not counted again.
        counted = copy.copy(vae)
        for name in CODING:
            setattr(counted, name, _noting(getattr(vae, name), name, key))
        return (counted,)


def _noting(method, name, key):
    def noting(tensor, *args, **kwargs):
        note = {"call": name, "node": get_executing_context().node_id, "shape": list(tensor.shape)}
        COUNTS.setdefault(key, []).append(note)
        return method(tensor, *args, **kwargs)

    return noting


GAUGES = {
    "GVRTestProbe": Probe,
    "GVRTestCountModel": CountModel,
    "GVRTestHooks": Hooks,
    "GVRTestPreview": Preview,
    "GVRTestCountPatches": CountPatches,
    "GVRTestCountVAE": CountVAE,
}
