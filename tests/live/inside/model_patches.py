"""The cascade under nodes that change a model: replaced blocks, Context Windows, other noise levels."""

import logging
from pathlib import Path

import torch
from pack_in_host import ARGUMENTS, answer, host_module, pack_module

PATH = Path(ARGUMENTS[0])
loading, guidance, host = (pack_module(f"nodes.{name}") for name in ("model_loading", "guidance", "host"))
schedules = pack_module("nodes.schedules")
core, checkpoints = pack_module("gvr_core.guidance"), pack_module("gvr_core.checkpoints")
references_file = pack_module("gvr_core.references")
samplers, windows, sampling = map(host_module, ("comfy.samplers", "comfy.context_windows", "comfy.model_sampling"))
FRAMES, WINDOW = 24, 12

torch.set_grad_enabled(False)
model = loading.load_cascade(PATH, dtype=torch.float32)
dit = checkpoints.load_part(PATH, "dit")


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def skip(args, _):
    """As SkipLayerGuidance replaces a block."""
    return args


def twice(args, extra):
    """A block that runs a second time on what it gave."""
    first = extra["original_block"](args)
    return extra["original_block"]({**args, "img": first["img"]})


def evaluate(options):
    latent, text = random(1, 32, 2, 4, 4, seed=1), random(1, 5, 4096, seed=2)
    return model.model.diffusion_model(latent, torch.tensor([500.0]), text, None, options, noise_level=0.3)


def replaced_blocks():
    latent, text = random(1, 32, 2, 4, 4, seed=1), random(1, 5, 4096, seed=2)
    call = {"condition": latent[:, 16:], "noise_level": 0.3}
    plain = dit(latent[:, :16], 500.0, text, **call)
    found = {"plain": float((evaluate({}) - plain).abs().max())}
    blocks = list(dit.blocks)
    for name, function, order in (("skip", skip, blocks[:1]), ("twice", twice, [blocks[0], blocks[1], blocks[1]])):
        dit.blocks = torch.nn.ModuleList(order)
        expected = dit(latent[:, :16], 500.0, text, **call)
        dit.blocks = torch.nn.ModuleList(blocks)
        result = evaluate({"patches_replace": {"dit": {("double_block", 1): function, ("single_block", 1): function}}})
        found[name] = float((result - expected).abs().max())
        found[f"{name} moves"] = float((expected - plain).abs().max())
    found["afterwards"] = float((evaluate({}) - plain).abs().max())
    return found


def told():
    """What the log says of patches without a place, of two calls."""
    messages, log = [], logging.getLogger("gvr")
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    log.addHandler(handler)
    evaluate({"patches": {}, "patches_replace": {"dit": {("single_block", 7): skip, ("double_block", 1): skip}}})
    quiet = len(messages)
    options = {"patches": {"attn1_output_patch": [skip]}, "rope_options": {"scale_t": 2.0}}
    options["patches_replace"] = {"dit": {("double_block", 7): skip}, "attn1": {("input", 1): skip}}
    for _ in range(2):
        evaluate(options)
    log.removeHandler(handler)
    return {"quiet": quiet, "messages": messages}


def context_windows():
    """One evaluation in two windows without overlap, beside each half evaluated alone."""
    space, sigma = model.model.latent_format, 0.8
    condition, text = random(1, 16, FRAMES, 4, 4, seed=3), random(1, 5, 4096, seed=4)
    references = random(1, 16, 1, 4, 4, seed=5)
    handler = windows.IndexListContextHandler(
        context_schedule=windows.get_matching_context_schedule("standard_static"),
        fuse_method=windows.get_matching_fuse_method("flat"),
        context_length=WINDOW,
        context_overlap=0,
        dim=2,
    )
    patched = model.clone()
    patched.model_options["context_handler"] = handler
    values = {"concat_latent_image": space.process_out(condition), "gvr_noise_level": 0.3}
    values |= {"gvr_references": space.process_out(references), "gvr_reference_images": 1}
    guider = guidance.MultiCFG(
        patched, [[text, values]], [[text, values]], core.MultiGuidance(s_txt=0.0, s_ref=0.0, n_ref=0), "drop"
    )
    seen = {}

    def once(denoise, x, sigmas, extra_args=None, callback=None, disable=None):
        seen["x"], seen["result"] = x, denoise(x, sigma * x.new_ones(1), **(extra_args or {}))
        return seen["result"]

    noise = random(*condition.shape, seed=6)
    sigmas = torch.tensor([sigma, 0.0])
    guider.sample(noise, torch.zeros_like(noise), samplers.KSAMPLER(once), sigmas, disable_pbar=True, seed=0)
    _, times = references_file.time_indices(WINDOW, 1, 0, dit.config.reference_ranges)
    halves = [
        x
        - sigma
        * dit(x, 1000 * sigma, text, condition=part, noise_level=0.3, references=references, reference_times=times)
        for x, part in zip(seen["x"].split(WINDOW, dim=2), condition.split(WINDOW, dim=2), strict=True)
    ]
    return float((seen["result"] - torch.cat(halves, dim=2)).abs().max())


def noise_levels():
    """A shift behind ModelSamplingFlux, and more steps than the model has noise levels."""

    class Flux(sampling.ModelSamplingFlux, sampling.CONST):
        pass

    flux = model.clone()
    flux.add_object_patch("model_sampling", Flux(model.model.model_config))
    levels = [host.with_shift(base, 3.0).get_model_object("model_sampling") for base in (model, flux)]
    timesteps = [float(level.timestep(torch.tensor(0.5))) for level in levels]
    many = schedules.partial_schedule(model, "simple", 1500, 1.0)
    return {
        "timesteps": timesteps,
        "steps": len(many) - 1,
        "descends": bool((many[1:] < many[:-1]).all()),
        "ends": [float(many[0]), float(many[-1])],
    }


answer({"blocks": replaced_blocks(), "told": told(), "windows": context_windows(), "noise_levels": noise_levels()})
