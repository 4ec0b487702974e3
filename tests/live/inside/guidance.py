"""One evaluation of Multi-CFG on fixed inputs, beside the formula (U eq. 2) written out over gvr_core's own model.

Also what hooks of other packs are given, and samplers that ask for the prediction without text.
"""

import itertools
from pathlib import Path

import torch
from pack_in_host import ARGUMENTS, answer, host_module, pack_module

PATH = Path(ARGUMENTS[0])
loading, guidance = pack_module("nodes.model_loading"), pack_module("nodes.guidance")
core, checkpoints, cascade = (pack_module(f"gvr_core.{name}") for name in ("guidance", "checkpoints", "cascade"))
references_file = pack_module("gvr_core.references")
samplers = host_module("comfy.samplers")

SIGMAS = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0])
NOISE_LEVEL = 0.3
model = loading.load_cascade(PATH, dtype=torch.float32)
dit = checkpoints.load_part(PATH, "dit")
space = model.model.latent_format

torch.set_grad_enabled(False)


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


condition, references = random(1, 16, 2, 8, 8, seed=1), random(1, 16, 1, 8, 8, seed=2)
texts = {"positive": random(1, 7, 4096, seed=3), "negative": random(1, 7, 4096, seed=4)}
times = references_file.time_indices(2, 1, 0, dit.config.reference_ranges)[1]
low = {"concat_latent_image": space.process_out(condition), "gvr_noise_level": NOISE_LEVEL}
shown = {"gvr_references": space.process_out(references), "gvr_reference_images": 1}


def denoised_by_hand(x, sigma, text, shown_references):
    velocity = dit(
        x,
        1000 * sigma,
        texts[text],
        condition=condition,
        noise_level=NOISE_LEVEL,
        references=shown_references,
        reference_times=() if shown_references is None else times,
    )
    return x - sigma * velocity


def evaluate(step, scales, null, *, patch=None):
    """Multi-CFG at one step: x, the result, and what a hook before the guidance is given."""
    seen = {}
    patched = model.clone()

    def before(arguments):
        seen["conds_out"] = arguments["conds_out"]
        return arguments["conds_out"]

    def after(arguments):
        seen["uncond_denoised"] = arguments["uncond_denoised"]
        return arguments["denoised"]

    patched.set_model_sampler_pre_cfg_function(before)
    patched.set_model_sampler_post_cfg_function(after)
    if patch is not None:
        patched.set_model_sampler_calc_cond_batch_function(patch)
    positive, negative = [[texts["positive"], {**low, **shown}]], [[texts["negative"], {**low, **shown}]]
    guider = guidance.MultiCFG(patched, positive, negative, core.MultiGuidance(**scales), null)

    def once(denoise, x, sigmas, extra_args=None, callback=None, disable=None):
        sigma = SIGMAS[step]
        seen["x"], seen["sigma"] = x, float(sigma)
        seen["result"] = denoise(x, sigma * x.new_ones(1), **(extra_args or {}))
        return seen["result"]

    noise = random(*condition.shape, seed=5)
    guider.sample(noise, torch.zeros_like(noise), samplers.KSAMPLER(once), SIGMAS, disable_pbar=True, seed=0)
    return seen


def compare(step, scales, null, **patch):
    """Largest difference of the result, relative, and of the predictions that the hooks are given."""
    seen = evaluate(step, scales, null, **patch)
    x, sigma = seen["x"], seen["sigma"]
    no_references = None if null == "drop" else torch.zeros_like(references)
    main = denoised_by_hand(x, sigma, "positive", references)
    null_text = denoised_by_hand(x, sigma, "negative", references)
    null_reference = denoised_by_hand(x, sigma, "positive", no_references)
    guides_text, guides_references = scales["s_txt"] > 0, scales["s_ref"] > 0 and step < scales["n_ref"]
    expected = main + scales["s_txt"] * (main - null_text)
    if guides_references:
        expected = expected + scales["s_ref"] * (main - null_reference)
    given = [main, null_text if guides_text else main, null_reference if guides_references else main]
    hooks = [float((a - b).abs().max()) for a, b in zip(seen["conds_out"], given, strict=True)]
    hooks.append(float((seen["uncond_denoised"] - given[1]).abs().max()))
    # Of float32 numbers up to some tens: the difference is told as a share of the largest.
    return {"result": float((seen["result"] - expected).abs().max() / expected.abs().max()), "hooks": max(hooks)}


def two_conditions(arguments):
    """As nodes of other packs evaluate: text and no text, and nothing else."""
    cond, uncond = arguments["conds"]
    options = arguments["model_options"]
    return samplers.calc_cond_batch(arguments["model"], [cond, uncond], arguments["input"], arguments["sigma"], options)


def apart():
    """How far the predictions lie apart, without which nothing above would mean anything."""
    seen = evaluate(1, {"s_txt": 3.0, "s_ref": 1.0, "n_ref": 4}, "drop")
    return min(float((a - b).abs().max()) for a, b in itertools.combinations(seen["conds_out"], 2))


def cfg_pp():
    """Nano with every sampler that asks for the prediction without text: Multi-CFG beside the host's own guidance."""
    nano = loading.load_cascade(cascade.nano_path(), dtype=torch.float32)
    latent = random(1, 48, 2, 4, 4, seed=6)
    low = {"concat_latent_image": nano.model.latent_format.process_out(latent), "gvr_noise_level": 0.1}
    conditioning = [[torch.zeros(1, 1, 1), low]]
    sigmas = samplers.calculate_sigmas(nano.get_model_object("model_sampling"), "simple", 4)
    found = {}
    for name in ("euler", *(name for name in samplers.KSampler.SAMPLERS if name.endswith("cfg_pp"))):
        ours = guidance.MultiCFG(
            nano, conditioning, conditioning, core.MultiGuidance(s_txt=0.0, s_ref=0.0, n_ref=0), "drop"
        )
        theirs = samplers.CFGGuider(nano)
        theirs.set_conds(conditioning, conditioning)
        theirs.set_cfg(1.0)
        results = [
            guider.sample(
                random(*latent.shape, seed=7),
                torch.zeros_like(latent),
                samplers.sampler_object(name),
                sigmas,
                disable_pbar=True,
                seed=0,
            )
            for guider in (ours, theirs)
        ]
        found[name] = [float((results[0] - results[1]).abs().max()), float(results[1].std())]
    return found


def split():
    """Evaluations with references past n_ref when a run of 4 steps is split in two, with and without the schedule."""
    found = {}
    scales = core.MultiGuidance(s_txt=0.0, s_ref=1.0, n_ref=2)
    for name, schedule in (("alone", None), ("whole", SIGMAS)):
        counts = []
        for part in (SIGMAS[:3], SIGMAS[2:]):
            patched, items = model.clone(), []

            def before(arguments, items=items):
                items.append(sum(cond is not None for cond in arguments["conds"]))
                return arguments["conds_out"]

            patched.set_model_sampler_pre_cfg_function(before)
            conditions = [[[texts[kind], {**low, **shown}]] for kind in texts]
            guider = guidance.MultiCFG(patched, *conditions, scales, "drop", schedule)
            noise = random(*condition.shape, seed=5)
            guider.sample(
                noise, torch.zeros_like(noise), samplers.sampler_object("euler"), part, disable_pbar=True, seed=0
            )
            counts.append(items)
        found[name] = counts
    return found


def find():
    paper = {"s_txt": 3.0, "s_ref": 1.0, "n_ref": 2}
    cases = {
        "both": (1, paper),
        "past n_ref": (2, paper),
        "text only": (0, {**paper, "s_ref": 0.0}),
        "references only": (0, {**paper, "s_txt": 0.0}),
        "neither": (3, {**paper, "s_txt": 0.0}),
        "strong": (0, {"s_txt": 7.5, "s_ref": 2.5, "n_ref": 4}),
    }
    found = {f"{name}, {null}": compare(*case, null) for name, case in cases.items() for null in ("drop", "zeros")}
    found |= {f"{name}, two conditions": compare(*case, "drop", patch=two_conditions) for name, case in cases.items()}
    return {"formula": found, "apart": apart(), "cfg_pp": cfg_pp(), "split": split()}


answer(find())
