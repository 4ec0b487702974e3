"""Where the weights of our small modules are after ComfyUI has loaded them with little memory.

The computing device is `meta`, which takes weights without having any memory.
"""

import torch
from pack_in_host import answer, host_module, pack_module

management = host_module("comfy.model_management")
host, loading = pack_module("nodes.host"), pack_module("nodes.model_loading")
vae_module, cascade = pack_module("nodes.vae"), pack_module("gvr_core.cascade")
checkpoints = pack_module("gvr_core.checkpoints")
META, GIB = torch.device("meta"), 2**30
STATES = {
    "novram": (management.VRAMState.NO_VRAM, 0),
    "partial": (management.VRAMState.NORMAL_VRAM, 10 * GIB),
    "enough": (management.VRAMState.NORMAL_VRAM, GIB),
}

management.get_torch_device = management.vae_device = lambda: META
management.get_free_memory = lambda *_, **__: 8 * GIB
management.is_device_cpu = lambda device: False
management.free_memory = lambda *_, **__: []
management.soft_empty_cache = lambda *_, **__: None
management.MIN_WEIGHT_MEMORY_RATIO = 0.0


def devices(module):
    return sorted({parameter.device.type for parameter in module.parameters()})


def patchers():
    path = cascade.nano_path()
    model = loading.load_cascade(path, dtype=torch.float32)
    vae = vae_module.BundledVAE(checkpoints.load_part(path, "vae"))
    return {"upsampler": model.model.upsampler, "vae": vae.patcher}


found = {}
for state, (vram, memory) in STATES.items():
    management.vram_state = vram
    for name, patcher in patchers().items():
        patcher.offload_device = torch.device("cpu")
        patcher.model.to("cpu")
        host.load_models(patcher, memory=memory)
        loaded = management.current_loaded_models[0]
        found[f"{name} {state}"] = {"devices": devices(patcher.model), "whole": patcher.loaded_size()}
        found[f"{name} {state}"]["size"] = patcher.model_size()
        # Making room for another model: one byte is asked for, all are given. Nothing can be copied out of `meta`.
        patcher.offload_device = META
        found[f"{name} {state}"]["unloads"] = loaded.model_unload(1)
        found[f"{name} {state}"]["left"] = patcher.loaded_size()
        management.current_loaded_models.clear()
vae = vae_module.BundledVAE(checkpoints.load_part(cascade.nano_path(), "vae"))
# A decoding streams to the output device, so its length costs nothing on the computing one.
asked = {
    f"{rows} rows, {frames} frames": vae.memory_used_decode((1, 48, frames, rows // 8, rows * 2 // 9), torch.float32)
    for rows in (1080, 2160)
    for frames in (20, 80)
}
answer({"loaded": found, "decoding": asked})
