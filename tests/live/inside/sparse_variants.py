"""Every variant of the host's models by itself, with the patch and all windows selected, and with one.

Prints per variant the differences to the model by itself, relative to its largest value, and what the log says.
"""

import torch
from pack_in_host import ARGUMENTS, answer, host_module
from patched_models import Lines, patched, with_override
from stock_models import VARIANTS, build, has, sample

# The hosts themselves fail on these in a batch of two.
NOT_BATCHED = {"attention_mask", "ref_latent"}
lines, found = Lines(), {}
with torch.inference_mode():
    for name in ARGUMENTS or VARIANTS:
        kind, values = VARIANTS[name]
        if not has(kind):
            continue
        model = build(kind)
        every = patched(model, top_k=1000)
        runs = {"every": (every, 1.0), "one": (patched(model), 1.0)}
        runs["override"] = (patched(with_override(model), top_k=1000), 1.0)
        if not NOT_BATCHED & set(values):
            runs["cfg"] = (every, 3.0)
        plain = {cfg: sample(model, kind, values, cfg=cfg) for cfg in {cfg for _, cfg in runs.values()}}
        lines.take()
        found[name] = {"finite": all(bool(x.isfinite().all()) for x in plain.values()), "difference": {}, "said": {}}
        for run, (changed, cfg) in runs.items():
            difference = (sample(changed, kind, values, cfg=cfg) - plain[cfg]).abs().max() / plain[cfg].abs().max()
            found[name]["difference"][run], found[name]["said"][run] = float(difference), lines.take()
host_module("comfy.model_management").unload_all_models()
answer(found)
