"""The pipeline: equal to its steps written out, seeded, guided as the formula says, and clear about misuse."""

from itertools import pairwise

import pytest
import torch

from gvr_core import flow
from gvr_core.cascade import Cascade, Conditions, Settings, augment, denoise, upsample
from gvr_core.checkpoints import Header, save_checkpoint
from gvr_core.geometry import latent_space, plan_upscale
from gvr_core.guidance import MultiGuidance
from gvr_core.models.dit import DiT
from gvr_core.models.upsampler import bilinear
from gvr_core.noise import CONDITION, SAMPLING, frame_noise
from gvr_core.references import ReferenceRanges
from gvr_core.schedules import DetailTable, make_sigmas


@pytest.fixture(scope="module")
def cascade(tiny_checkpoint):
    return Cascade.load(tiny_checkpoint)


def latent(frames=2, height=4, width=6):
    return torch.randn(1, 48, frames, height, width, generator=torch.Generator().manual_seed(5))


def test_a_run_is_upsample_noise_denoise_written_out(cascade):
    plan = plan_upscale(latent_space("nano"), 32, 48, scale=2.0)
    upsampled = upsample(latent(), plan, upsampler=cascade.upsampler)
    settings = cascade.settings(seed=7)
    result = denoise(cascade.dit, upsampled, settings)

    tau, sigmas = settings.noise_aug, make_sigmas(3, shift=0.5)
    condition = (1 - tau) * upsampled + tau * frame_noise(upsampled, seed=7, purpose=CONDITION)
    x = frame_noise(upsampled, seed=7, purpose=SAMPLING)
    for high, low in pairwise(sigmas):
        velocity = cascade.dit(x, 1000 * float(high), None, condition=condition, noise_level=tau)
        x = x + (low - high) * velocity
    torch.testing.assert_close(result, x, rtol=0, atol=1e-5)


def test_seeds(cascade):
    upsampled = bilinear(latent(), scale=2.0, height=8, width=12)
    first, again, other = (denoise(cascade.dit, upsampled, cascade.settings(seed=s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_callback_sees_every_step_and_may_interrupt(cascade):
    seen = []
    upsampled = bilinear(latent(), scale=2.0, height=8, width=12)

    def callback(step, num_steps, estimate):
        seen.append((step, num_steps, tuple(estimate.shape)))
        if step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise(cascade.dit, upsampled, cascade.settings(), callback=callback)
    assert seen == [(0, 3, (1, 48, 2, 8, 12)), (1, 3, (1, 48, 2, 8, 12))]


def test_a_partial_start_begins_from_the_noised_condition(cascade):
    upsampled = bilinear(latent(), scale=2.0, height=8, width=12)
    starts = []

    class Recorder(torch.nn.Module):
        patch_embedding = cascade.dit.patch_embedding

        def forward(self, x, timestep, context, **kwargs):
            starts.append((x, timestep))
            return cascade.dit(x, timestep, context, **kwargs)

    denoise(Recorder(), upsampled, cascade.settings(seed=3, start=0.4))
    noise = frame_noise(upsampled, seed=3, purpose=SAMPLING)
    assert starts[0][1] == pytest.approx(400)
    torch.testing.assert_close(starts[0][0], flow.interpolate(upsampled, noise, 0.4))


def test_guidance_with_text_and_references_is_the_papers_formula(tiny_dit_config):
    torch.manual_seed(1)
    dit = DiT(tiny_dit_config(text_dim=8, cross_attn_norm=True)).requires_grad_(False)
    dit.initialize()
    torch.nn.init.normal_(dit.head.head.weight, std=0.1)
    upsampled, references = bilinear(latent(), scale=2.0, height=8, width=12), torch.randn(1, 48, 1, 8, 12)
    text, null = torch.randn(1, 5, 8), torch.zeros(1, 5, 8)
    conditions = Conditions(text=text, null_text=null, references=references, reference_times=[20])
    guidance = MultiGuidance(s_txt=3.0, s_ref=1.5, n_ref=1)
    settings = Settings(num_steps=2, solver="euler", shift=1.0, start=1.0, noise_aug=0.1, seed=0, guidance=guidance)
    result = denoise(dit, upsampled, settings, conditions)

    condition = augment(upsampled, noise_aug=0.1, seed=0)
    x = frame_noise(upsampled, seed=0, purpose=SAMPLING)
    for step, sigma in enumerate((1.0, 0.5)):

        def v(context, use, x=x, sigma=sigma):
            extra = {"references": references, "reference_times": [20]} if use else {}
            return dit(x, 1000 * sigma, context, condition=condition, noise_level=0.1, **extra)

        both = v(text, True)
        velocity = both + 3.0 * (both - v(null, True)) + (1.5 if step < 1 else 0) * (both - v(text, False))
        x = x - 0.5 * velocity
    torch.testing.assert_close(result, x, rtol=0, atol=1e-5)


def test_routes_of_the_upsampler(cascade):
    plan = plan_upscale(latent_space("nano"), 32, 48, scale=2.0)
    plain = upsample(latent(), plan)
    assert torch.equal(plain, bilinear(latent(), scale=2.0, height=8, width=12))
    assert upsample(latent(), plan, route="pixel", vae=cascade.vae).shape == plain.shape
    with pytest.raises(ValueError, match="needs a VAE"):
        upsample(latent(), plan, route="pixel")
    with pytest.raises(ValueError, match="unknown upsampler 'nearest'"):
        upsample(latent(), plan, route="nearest")
    broken = latent()
    broken[0, 0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        upsample(broken, plan)


def test_settings_come_from_the_checkpoint_and_are_checked(cascade):
    settings = cascade.settings(seed=1, num_steps=10, s_ref=None)
    assert (settings.num_steps, settings.solver, settings.shift, settings.noise_aug) == (10, "euler", 0.5, 0.05)
    assert settings.guidance == MultiGuidance(n_ref=3)  # 15 of 50
    with pytest.raises(ValueError, match="unknown solver 'heun'"):
        cascade.settings(solver="heun")
    with pytest.raises(ValueError, match=r"noise augmentation is 1\.0"):
        cascade.settings(noise_aug=1.0)
    with pytest.raises(ValueError, match=r"first 20 steps .* only 10"):
        cascade.settings(num_steps=10, n_ref=20)
    with pytest.raises(ValueError, match="num_steps is -5"):
        cascade.settings(num_steps=-5)


def test_a_detail_table_changes_the_schedule(cascade):
    upsampled = bilinear(latent(), scale=2.0, height=8, width=12)
    table = DetailTable(sigmas=(1.0, 0.5, 0.0), gains=(0.9, 0.1))
    plain = cascade.settings()
    aware = Settings(**{**vars(plain), "table": table})
    assert not torch.equal(denoise(cascade.dit, upsampled, plain), denoise(cascade.dit, upsampled, aware))


def test_loading_says_what_a_file_lacks(tmp_path, save_tiny, tiny_dit_config):
    only_vae = save_tiny(tmp_path / "vae.safetensors", parts=("vae",))
    with pytest.raises(ValueError, match="holds vae, but no cascade"):
        Cascade.load(only_vae)
    plain = tiny_dit_config(condition_channels=0, residual_std=None)
    with pytest.raises(ValueError, match="no cascade yet"):
        Cascade.load(save_tiny(tmp_path / "plain.safetensors", parts=("dit",), dit=plain))
    untold = tmp_path / "untold.safetensors"
    header = Header(space="nano", parts={"dit": tiny_dit_config().to_dict()})
    save_checkpoint(untold, {"dit": DiT(tiny_dit_config())}, header, dtype=torch.float32)
    with pytest.raises(ValueError, match="no cascade yet"):
        Cascade.load(untold)
    bare = Cascade.load(save_tiny(tmp_path / "dit.safetensors", parts=("dit",)))
    assert bare.vae is None
    assert bare.upsampler is None
    with pytest.raises(ValueError, match=r"latent has 16 channels.*nano with 48"):
        bare.check_latent(torch.zeros(1, 16, 1, 2, 2))


def test_references_keep_their_own_times(cascade):
    upsampled = bilinear(latent(), scale=2.0, height=8, width=12)
    references = torch.randn(1, 48, 1, 8, 12)
    near = Conditions(references=references, reference_times=[ReferenceRanges().image_start])
    far = Conditions(references=references, reference_times=[ReferenceRanges().image_start + 5])
    a, b = (denoise(cascade.dit, upsampled, cascade.settings(), c) for c in (near, far))
    assert a.shape == upsampled.shape
    assert not torch.equal(a, b)
