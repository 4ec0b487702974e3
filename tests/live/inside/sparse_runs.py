"""What the patch does over whole runs: which steps and layers, how often it waits for the device, what it says."""

import inspect
from unittest import mock

import torch
from pack_in_host import answer, host_module, pack_module
from patched_models import Lines, patched, with_override
from stock_models import VARIANTS, build, sample
from torch.utils._python_dispatch import TorchDispatchMode

host, video_attention = pack_module("nodes.host"), pack_module("nodes.video_attention")
wan = host_module("comfy.ldm.wan.model")
backend = host_module("comfy.ldm.modules.attention").optimized_attention
easy_cache = host_module("comfy_extras.nodes_easycache").EasyCacheNode.execute
windows = host_module("comfy_extras.nodes_context_windows").WanContextWindowsManualNode.execute
shift = host_module("comfy_extras.nodes_model_advanced").ModelSamplingSD3().patch
sampling, samplers = host_module("comfy.sample"), host_module("comfy.samplers")
lines, found = Lines(), {}


class Waits(TorchDispatchMode):
    """Counts the operations that a GPU has to be waited for: numbers of open tokens, and single values."""

    SINGLE = ("_local_scalar_dense", "item", "is_nonzero")

    def __init__(self):
        super().__init__()
        self.counts = {"numbers": 0, "values": 0}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name == "index" and any(x is not None and x.dtype == torch.bool for x in args[1])
        self.counts["numbers"] += name == "nonzero" or by_mask
        self.counts["values"] += name in self.SINGLE
        return func(*args, **(kwargs or {}))


def run(name, model=None, *, settings=None, **changes):
    """A run of a variant with the patch; the log's lines."""
    kind, values = VARIANTS[name]
    lines.take()
    sample(patched(model or build(kind), **(settings or {})), kind, values, **changes)
    return lines.take()


def attended(kind, values, argument):
    """An argument of the attention calls of one evaluation, of 7 frames in units of 5."""
    attend, seen = video_attention.attend, []

    def spy(*args, **kwargs):
        seen.append(kwargs[argument])
        return attend(*args, **kwargs)

    with mock.patch.object(video_attention, "attend", spy):
        model = patched(build(kind), temporal_units=True)
        sample(model, kind, values, steps=1, shape=(16, 7, 16, 24))
    return seen


def bound(free):
    """Memory that attention calls may take for copies."""
    with mock.patch.object(host, "unused_memory", return_value=free):
        return sorted(set(attended("wan", {}, "extra_bytes")))


def waits(name):
    """Counts of one evaluation, by itself and with the patch."""
    kind, values = VARIANTS[name]
    model, counts = with_override(build(kind)), {}
    for key, one in (("plain", model), ("sparse", patched(model))):
        with Waits() as counted:
            sample(one, kind, values, steps=1)
        counts[key] = counted.counts
    return counts


def cascade_run(model, *, references=0, sigmas=(1.0, 0.0)):
    """A run of a cascade on 3 frames of 4 x 4 tokens; the log's lines."""
    latent = torch.zeros(1, 48, 3, 8, 8)
    values = {"concat_latent_image": latent, "gvr_noise_level": 0.1}
    if references:
        values |= {"gvr_references": torch.zeros(1, 48, references, 8, 8), "gvr_reference_images": references}
    conditioning, sampler = [[torch.zeros(1, 1, 1), values]], samplers.sampler_object("euler")
    lines.take()
    sampling.sample_custom(
        model, latent, 1.0, sampler, torch.tensor(sigmas), conditioning, conditioning, latent, disable_pbar=True
    )
    return lines.take()


with torch.inference_mode():
    nano = pack_module("nodes.model_loading").load_cascade(
        pack_module("gvr_core.cascade").nano_path(), dtype=torch.float32
    )
    found["cascade"] = cascade_run(patched(nano))
    found["cascade, reference"] = cascade_run(patched(nano), references=1)
    found["cascade, two"] = cascade_run(patched(patched(nano), dense_blocks="0-99"))
    found["cascade, no step"] = cascade_run(patched(nano), sigmas=(0.5,))

    window = {"start_percent": 0.25, "end_percent": 0.65}
    model = build("wan")
    for number in (1.0, 3.0, 12.0):
        after, before = shift(patched(model, **window), number)[0], patched(shift(model, number)[0], **window)
        for order, one in (("after", after), ("before", before)):
            sample(one, "wan", {}, steps=10)
            found[f"shift {number:g} {order}"] = lines.take()

    frames = [torch.zeros(1, 32, 7, 16, 24)]
    twice = {"vace_frames": frames * 2, "vace_strength": [1.0, 1.0]}
    found["vace layers"] = attended("wan_vace", {"vace_frames": frames}, "layer")
    found["vace twice layers"] = attended("wan_vace", twice, "layer")
    found["wan layers"] = attended("wan", {}, "layer")
    found["bounds"] = {free: bound(free) for free in (0, 2**30, 3 * 2**30, 2**37)}

    found["waits"] = waits("hunyuan holes")

    found["all"] = run("wan", model)
    found["dense"] = run("wan", model, settings={"dense_blocks": "1"})
    found["short"] = run("wan", model, settings={"min_tokens": 289})
    found["never"] = run("wan", model, settings={"start_percent": 0.99})
    sample(patched(patched(model), top_k=1000), "wan", {})
    found["two"] = lines.take()

    hunyuan = build("hunyuan")
    masked = VARIANTS["hunyuan prefix"][1]
    plain = sample(hunyuan, "hunyuan", masked)

    def with_mask(change):
        """The model with another pack's function around a block, which changes the mask."""
        clone = hunyuan.clone()
        for block in ("double_block", "single_block"):

            def changed(args, extra):
                return extra["original_block"]({**args, "attention_mask": change(args["attention_mask"])})

            clone.set_model_patch_replace(changed, "dit", block, 0)
        return clone

    lines.take()
    copied = sample(patched(with_mask(torch.clone), top_k=1000), "hunyuan", masked)
    found["copied mask"] = {"difference": float((copied - plain).abs().max() / plain.abs().max()), "said": lines.take()}
    sample(patched(with_mask(lambda mask: mask - 1.0)), "hunyuan", masked)
    found["odd mask"] = lines.take()

    # Nodes of the host that change what is evaluated: some steps are left out, or a few frames at a time.
    cached = easy_cache(model, 100.0, 0.1, 0.9, verbose=False).args[0]
    newer = {"freenoise": False} if "freenoise" in inspect.signature(windows).parameters else {}
    cut = windows(model, 13, 5, "standard_static", 1, False, "pyramid", **newer).args[0]
    for name, one in (("easycache", cached), ("context windows", cut)):
        plain = sample(one, "wan", {}, steps=8, shape=(16, 7, 16, 24))
        lines.take()
        every = sample(patched(one, top_k=1000), "wan", {}, steps=8, shape=(16, 7, 16, 24))
        found[name] = {"difference": float((every - plain).abs().max() / plain.abs().max()), "said": lines.take()}

    # As TeaCache packs do: the model's forward without its wrappers, or its blocks without options.
    def forward(self, x, timestep, context, clip_fea=None, time_dim_concat=None, transformer_options=None, **_):
        return self._forward(x, timestep, context, clip_fea, time_dim_concat, {})

    def forward_orig(self, x, t, context, transformer_options=None, **kwargs):
        return type(self).forward_orig(self, x, t, context, transformer_options={}, **kwargs)

    inner = model.model.diffusion_model
    for name, other in (("forward", forward), ("forward_orig", forward_orig)):
        with mock.patch.object(inner, name, other.__get__(inner)):
            found[f"{name} replaced"] = run("wan", model)

    def plain_attention(q, k, v, heads, **_):
        return backend(q, k, v, heads)

    with mock.patch.object(wan, "optimized_attention", plain_attention):
        found["attention replaced"] = run("wan", model)

    # Nobody needs the noise levels among the options.
    kind = host_module("comfy.patcher_extension").WrappersMP.APPLY_MODEL

    def without_sigmas(executor, x, t, c_concat, c_crossattn, control, options, **kwargs):
        options = {name: value for name, value in options.items() if name != "sigmas"}
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)

    changed = patched(model)
    changed.add_wrapper_with_key(kind, "test", without_sigmas)
    sample(changed, "wan", {})
    found["no sigmas"] = lines.take()
host_module("comfy.model_management").unload_all_models()
answer(found)
