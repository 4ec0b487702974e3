"""How often PyTorch compiles the cascade behind ComfyUI's TorchCompileModel: graphs after each run.

The backend only counts, so no compiler is needed.
"""

import torch
from pack_in_host import answer, host_module, pack_module

loading, cascade = pack_module("nodes.model_loading"), pack_module("gvr_core.cascade")
attention, model_file = pack_module("gvr_core.attention"), pack_module("nodes.model")
helpers, sample, samplers = map(host_module, ("comfy_api.torch_helpers", "comfy.sample", "comfy.samplers"))
STEPS, RUNS = 6, 3


def run(model):
    latent = torch.zeros(1, 48, 3, 8, 8)
    conditioning = [[torch.zeros(1, 1, 1), {"concat_latent_image": latent, "gvr_noise_level": 0.1}]]
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
    sigmas = samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", STEPS)
    sampler = samplers.sampler_object("euler")
    return sample.sample_custom(
        model, noise, 1.0, sampler, sigmas, conditioning, conditioning, latent, disable_pbar=True
    )


def measure(model, keys=("diffusion_model",)):
    torch._dynamo.reset()
    graphs, counts = [], []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    expected = run(model)
    compiled = model.clone()
    helpers.set_torch_compile_wrapper(model=compiled, backend=count, keys=list(keys))
    difference = 0.0
    for _ in range(RUNS):
        difference = max(difference, float((run(compiled) - expected).abs().max()))
        counts.append(len(graphs))
    return {"graphs": counts, "difference": difference, "std": float(expected.std())}


def patched(model):
    """With the second block left out, as SkipLayerGuidance does."""
    clone = model.clone()
    clone.set_model_patch_replace(lambda args, _: args, "dit", "double_block", 1)
    return clone


def dense():
    model = loading.load_cascade(cascade.nano_path(), dtype=torch.float32)
    model.model_options["transformer_options"][model_file.ATTENTION] = attention.AttentionConfig(kind="full")
    return model


watched = dense()
blocks = [f"diffusion_model.blocks.{n}" for n in range(len(watched.model.diffusion_model.blocks))]
answer(
    {
        "whole": measure(watched),
        "whole, own windows": measure(loading.load_cascade(cascade.nano_path(), dtype=torch.float32)),
        "blocks": measure(dense(), blocks),
        "whole, a block replaced": measure(patched(dense())),
        "blocks, one replaced": measure(patched(dense()), blocks),
    }
)
