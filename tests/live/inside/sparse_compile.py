"""How often models with the patch are compiled in two runs of several noise levels, whole and block by block.

Prints for each the graphs that were compiled, after each run, and how often graphs have run.
"""

import torch
from pack_in_host import answer, host_module
from patched_models import patched, with_override
from stock_models import VARIANTS, build, sample

compile_model = host_module("comfy_api.torch_helpers.torch_compile").set_torch_compile_wrapper
LISTS = ("blocks", "double_blocks", "single_blocks")
STEPS, PROMPTS = 4, (20, 13, 9, 16)


class Counter:
    """A backend that counts and runs what it is given as it is."""

    def __init__(self):
        self.graphs = self.runs = 0

    def __call__(self, graph, _):
        self.graphs += 1

        def run(*inputs):
            self.runs += 1
            return graph.forward(*inputs)

        return run


def compiled(model, kind, values, keys):
    """Graphs after each of two runs, and graph runs of both."""
    torch.compiler.reset()
    clone, counter, graphs = model.clone(), Counter(), []
    compile_model(clone, backend=counter, keys=keys)
    for _ in range(2):
        sample(clone, kind, values, steps=STEPS)
        graphs.append(counter.graphs)
    return {"graphs": graphs, "runs": counter.runs}


def compiled_for_prompts(model):
    """Graphs after runs with prompts of several lengths, some of them under a mask."""
    torch.compiler.reset()
    clone, counter, graphs = model.clone(), Counter(), []
    compile_model(clone, backend=counter)
    for tokens in PROMPTS:
        mask = torch.ones(1, tokens, dtype=torch.long)
        mask[:, 2], mask[:, tokens // 2 :] = 0, 0
        sample(clone, "hunyuan", {"attention_mask": mask}, steps=1, tokens=tokens)
        graphs.append(counter.graphs)
    return graphs


found = {}
for name in ("wan", "hunyuan holes"):
    kind, values = VARIANTS[name]
    model = with_override(build(kind))
    inner = model.model.diffusion_model
    blocks = [f"diffusion_model.{x}.{n}" for x in LISTS for n in range(len(getattr(inner, x, ())))]
    for how, keys in (("whole", ["diffusion_model"]), ("blocks", blocks)):
        found[f"{name} {how}"] = {"plain": compiled(model, kind, values, keys)}
        found[f"{name} {how}"]["sparse"] = compiled(patched(model), kind, values, keys)
        found[f"{name} {how}"]["part"] = compiled(patched(model, start_percent=0.4), kind, values, keys)
model = with_override(build("hunyuan"))
prompts = {"plain": compiled_for_prompts(model), "sparse": compiled_for_prompts(patched(model))}
host_module("comfy.model_management").unload_all_models()
answer({"steps": STEPS, "models": found, "prompts": prompts})
