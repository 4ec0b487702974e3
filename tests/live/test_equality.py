"""The cascade inside ComfyUI computes what it computes outside: gvr_core's result, and the formula by hand."""

import pytest
import torch
from safetensors.torch import load_file

from gvr_core.cascade import Cascade, Conditions, Settings, augment, denoise, upsample
from gvr_core.geometry import plan_upscale
from gvr_core.guidance import MultiGuidance
from gvr_core.latent_values import normalize
from gvr_core.models.dit import TIMESTEPS
from gvr_core.noise import SAMPLING, frame_noise
from gvr_core.references import time_indices
from gvr_core.schedules import make_sigmas
from gvr_core.solvers import SOLVERS

from .graphs import NANO, Graph, measured
from .tiny_models import lora_targets

pytestmark = pytest.mark.live

SEED, STEPS, N_REF, SHIFT = 3, 8, 4, 5.0
GUIDANCE = MultiGuidance(s_txt=3.0, s_ref=1.0, n_ref=N_REF)
PICTURES, VIDEO_FRAMES = 2, 5
CONDITION, REFERENCES = "/0/1/concat_latent_image", "/0/1/gvr_references"


class Setup:
    """Low-resolution latent, prompts, references: the Wan-shaped cascade up to the sampler.

    Attributes:
        graph: that far.
        loaded: the cascade.
        positive, negative, latent: what the sampler takes.
    """

    def __init__(self, install):
        self.graph = graph = Graph()
        self.loaded = graph.load(install("wan_cascade"))
        self.low = graph.latent(height=6, width=8, std=1.5, seed=5)
        text, null_text = graph.text("a cat in a bakery"), graph.text("")
        up = graph.upsample(self.low, self.loaded, positive=text, negative=null_text, seed=SEED)
        picture = graph.add("GVRTestImages", count=PICTURES, height=40, width=56, seed=1)
        video = graph.add("GVRTestImages", count=VIDEO_FRAMES, height=96, width=128, seed=2)
        vae = graph.add("VAELoader", vae_name=install("wan_vae"))
        wires = {"positive": up[0], "negative": up[1], "vae": vae, "image_1": picture, "video": video}
        referenced = graph.add("GVRReferenceTokens", **wires)
        self.positive, self.negative, self.latent = referenced[0], referenced[1], up[2]
        self.plain = up

    def sample(self, model=None, **changes):
        settings = {"seed": SEED, "steps": STEPS, "sampler_name": "euler", "s_ref": 1.0, "n_ref": N_REF}
        wires = (model or self.loaded, self.positive, self.negative, self.latent)
        return self.graph.sample(*wires, **{**settings, **changes})


class Outside:
    """The same run without ComfyUI, from the tensors that were on its wires."""

    def __init__(self, path, low, positive, negative, references):
        self.cascade = Cascade.load(path)
        height, width = (side * 8 for side in low.shape[-2:])
        plan = plan_upscale(self.cascade.space, height, width, scale=2.0)
        self.upsampled = upsample(normalize(low, "wan21"), plan, upsampler=self.cascade.upsampler)
        self.text, self.null_text = positive, negative
        self.references = normalize(references, "wan21")
        ranges, frames = self.cascade.dit.config.reference_ranges, references.shape[2]
        self.times = time_indices(low.shape[2], PICTURES, frames - PICTURES, ranges)[1]
        self.noise_aug = self.cascade.header.inference.noise_aug

    def denoise(self, solver, start=1.0):
        settings = Settings(
            num_steps=STEPS,
            solver=solver,
            shift=SHIFT,
            start=start,
            noise_aug=self.noise_aug,
            seed=SEED,
            guidance=GUIDANCE,
        )
        conditions = Conditions(
            text=self.text, null_text=self.null_text, references=self.references, reference_times=self.times
        )
        return denoise(self.cascade.dit, self.upsampled, settings, conditions)

    @torch.inference_mode()
    def by_hand(self, null_references):
        """The formula written out, with what stands for `no references`."""
        condition = augment(self.upsampled, noise_aug=self.noise_aug, seed=SEED)

        def predict(x, sigma, text, references):
            given = {"condition": condition, "noise_level": self.noise_aug, "references": references}
            times = () if references is None else self.times
            return self.cascade.dit(x, TIMESTEPS * sigma, text, **given, reference_times=times)

        def model(x, sigma, step):
            full = predict(x, sigma, self.text, self.references)
            guided = full + 3.0 * (full - predict(x, sigma, self.null_text, self.references))
            if step < N_REF:
                guided = guided + 1.0 * (full - predict(x, sigma, self.text, null_references))
            return guided

        noise = frame_noise(self.upsampled, seed=SEED, purpose=SAMPLING)
        return SOLVERS["euler"](model, noise, make_sigmas(STEPS, shift=SHIFT))


@pytest.fixture(scope="module")
def runs(server, install, tiny_models):
    """Every variant of the run in one prompt: normalised results by name, and the same run outside."""
    setup = Setup(install)
    graph = setup.graph
    variants = {
        "drop": setup.sample(null_reference="drop"),
        "zeros": setup.sample(null_reference="zeros"),
        "pndm": setup.sample(sampler_name="pndm"),
        "no references": setup.sample(s_ref=0.0),
        "no text": setup.sample(s_txt=0.0),
    }
    setup.latent = setup.plain[3]
    variants["start"] = setup.sample(denoise=0.6)
    probes = {name: graph.probe(node, name=f"equal_{name}") for name, node in variants.items()}
    wires = {"low": setup.low, "positive": setup.positive, "negative": setup.negative}
    inputs = {name: graph.probe(wire, name=f"equal_{name}") for name, wire in wires.items()}

    entry = server.run(graph.prompt)

    def tensor(probe, key):
        return server.array(measured(entry, probe, key))

    references = tensor(inputs["positive"], REFERENCES)
    texts = tensor(inputs["positive"], "/0/0"), tensor(inputs["negative"], "/0/0")
    outside = Outside(tiny_models.wan_cascade(), tensor(inputs["low"], "/samples"), *texts, references)
    outside.condition = normalize(tensor(inputs["positive"], CONDITION), "wan21")
    return {name: normalize(tensor(probe, "/samples"), "wan21") for name, probe in probes.items()}, outside


def assert_equal(inside, outside, tolerance=1e-4):
    assert inside.shape == outside.shape
    assert outside.std() > 0.1
    difference = float((inside - outside).abs().max())
    assert difference < tolerance


def test_condition_equals_the_core(runs):
    _, outside = runs
    assert_equal(outside.condition, augment(outside.upsampled, noise_aug=outside.noise_aug, seed=SEED))


@pytest.mark.parametrize(
    ("name", "solver", "start"), [("drop", "euler", 1), ("pndm", "pndm", 1), ("start", "euler", 0.6)]
)
def test_sampler_equals_the_core(runs, name, solver, start):
    inside, outside = runs
    # Below a start of 1 the host's schedule is read between its 1000 levels.
    assert_equal(inside[name], outside.denoise(solver, start=start), tolerance=1e-4 if start == 1 else 1e-3)


@pytest.mark.parametrize("null", ["drop", "zeros"])
def test_sampler_equals_the_formula(runs, null):
    inside, outside = runs
    null_references = None if null == "drop" else torch.zeros_like(outside.references)
    assert_equal(inside[null], outside.by_hand(null_references))


def test_every_part_of_the_guidance_has_an_effect(runs):
    inside, _ = runs
    names = sorted(inside)
    near = [(a, b) for a in names for b in names if a < b and (inside[a] - inside[b]).abs().max() < 1e-2]
    assert not near


def test_lora_applies(server, install, tiny_models):
    setup = Setup(install)
    graph = setup.graph
    lora = graph.add("LoraLoaderModelOnly", model=setup.loaded, lora_name=install("wan_lora"), strength_model=0.5)
    patches = graph.add("GVRTestCountPatches", model=lora)
    plain = graph.probe(setup.sample(), name="lora_without")
    changed = graph.probe(setup.sample(lora), name="lora_with")
    inputs = {
        name: graph.probe(wire, name=f"lora_{name}") for name, wire in (("p", setup.positive), ("n", setup.negative))
    }
    low = graph.probe(setup.low, name="lora_low")

    entry = server.run(graph.prompt)

    names = lora_targets(tiny_models.shapes["wan"])
    assert entry["outputs"][patches.id]["gvr_patches"] == [
        str([f"diffusion_model.{n}.weight" for n in names]).replace("'", '"')
    ]
    tensors = load_file(tiny_models.wan_lora())
    texts = [server.array(measured(entry, inputs[name], "/0/0")) for name in "pn"]
    references = server.array(measured(entry, inputs["p"], REFERENCES))
    outside = Outside(tiny_models.wan_cascade(), server.array(measured(entry, low, "/samples")), *texts, references)
    for name in names:
        up, down = (tensors[f"diffusion_model.{name}.lora_{which}.weight"] for which in "BA")
        outside.cascade.dit.get_submodule(name).weight += 0.5 * up @ down
    result = normalize(server.array(measured(entry, changed, "/samples")), "wan21")
    assert_equal(result, outside.denoise("euler"))
    without = normalize(server.array(measured(entry, plain, "/samples")), "wan21")
    assert (result - without).abs().max() > 1e-2


# ComfyUI's `simple` picks from 1000 noise levels: 4 steps hit the same as gvr_core's, 3 the next ones, a little apart.
@pytest.mark.parametrize(("steps", "tolerance"), [(4, 1e-4), (3, 5e-2)])
def test_nano_equals_the_core(server, graph, steps, tolerance):
    loaded = graph.load()
    low = graph.latent(channels=48, frames=3, height=9, width=8, seed=7)
    given = graph.probe(low, name="nano_low")
    result = graph.probe(graph.nano(low, loaded, seed=SEED, sampler={"seed": SEED, "steps": steps}), name="nano")

    entry = server.run(graph.prompt)

    nano = Cascade.nano()
    plan = plan_upscale(nano.space, 72, 64, scale=2.0)
    low = server.array(measured(entry, given, "/samples"))
    upsampled = upsample(low, plan, upsampler=nano.upsampler)
    settings = nano.settings(seed=SEED, num_steps=steps, s_txt=0.0, s_ref=0.0, n_ref=0)
    assert (settings.solver, settings.shift) == (NANO["sampler_name"], NANO["shift"])
    assert_equal(server.array(measured(entry, result, "/samples")), denoise(nano.dit, upsampled, settings), tolerance)
