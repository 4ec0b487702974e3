"""SDEdit through tiny random Wan models; diffusers' own scheduler is the truth for the loop, its VAE for latents."""

import json
import sys

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanTransformer3DModel

from gvr_core.degradations.config import SDEditDegradation, SyntheticDegradation
from gvr_core.latent_values import denormalize, normalize
from gvr_core.schedules import make_sigmas
from train.pairs.sdedit_diffusers import degrade_to_frames, degrade_to_latent, load_wan

KEY = {"seed": 1, "clip_id": "clip"}
UNTOUCHED = SyntheticDegradation(blur_probability=0, noise_probability=0, compression="none")


@pytest.fixture(scope="module")
def wan(wan_folder):
    return load_wan(wan_folder, device="cpu")


def clip(frames=5, height=32, width=48):
    y, x = np.mgrid[:height, :width]
    frame = np.stack([x * 5, y * 7, (x + y) * 3], axis=-1)
    return [((frame + 9 * n) % 256).astype(np.uint8) for n in range(frames)]


def test_the_latent_is_the_vaes_normalised_by_its_own_config(wan):
    video = torch.from_numpy(np.stack(clip())).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.no_grad():
        raw = wan.vae.vae.encode(video).latent_dist.mode()
    mean, std = (
        torch.tensor(values).view(1, 16, 1, 1, 1)
        for values in (wan.vae.vae.config.latents_mean, wan.vae.vae.config.latents_std)
    )
    latent, size = wan.encode(clip())
    assert size == (5, 32, 48)
    torch.testing.assert_close(latent.clone(), (raw - mean) / std, atol=1e-5, rtol=1e-5)


def test_the_loop_is_that_of_diffusers_scheduler(wan):
    """The same noisy start, stepped by FlowMatchEulerDiscreteScheduler with conventional guidance."""
    config = SDEditDegradation(mode="steps", k=(4, 4), steps=10, shift=3)
    model, states = wan.model("a fox", negative="a", cfg=4), []

    def spy(x, sigma, step):
        states.append(x)
        return model(x, sigma, step)

    result = degrade_to_latent(clip(), wan, config, spy, **KEY)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1)
    scheduler.set_timesteps(sigmas=make_sigmas(10, shift=3)[-5:-1].tolist())
    contexts = [
        torch.nn.functional.pad(wan.text(p).float(), (0, 0, 0, 512 - len(wan.text(p))))[None] for p in ("a fox", "a")
    ]
    x = states[0].clone()
    with torch.no_grad():
        for t in scheduler.timesteps:
            cond, null = (wan.transformer(x, t.expand(1), context).sample for context in contexts)
            x = scheduler.step(null + 4 * (cond - null), t, x).prev_sample
    assert len(states) == 4
    torch.testing.assert_close(normalize(result[None], "wan21"), x, atol=1e-4, rtol=1e-4)


def test_alpha_0_stores_the_clean_latent(wan):
    result = degrade_to_latent(clip(), wan, SDEditDegradation(alpha=(0, 0)), wan.model("a fox"), **KEY)
    torch.testing.assert_close(result, denormalize(wan.encode(clip())[0].clone(), "wan21")[0])
    assert result.shape == (16, 2, 4, 6)


def test_the_distance_grows_with_alpha_and_the_prompt_counts(wan):
    def edited(alpha, prompt="a fox"):
        config = SDEditDegradation(alpha=(alpha, alpha), steps=2)
        return degrade_to_latent(clip(), wan, config, wan.model(prompt), **KEY)

    distances = [float((edited(alpha) - edited(0)).norm()) for alpha in (0, 0.1, 0.2, 0.4, 0.8)]
    assert distances == sorted(set(distances))
    assert not torch.equal(edited(0.4), edited(0.4, "a"))
    assert torch.equal(edited(0.4), edited(0.4))


@pytest.mark.parametrize(("frames", "height", "width"), [(5, 32, 48), (3, 30, 50), (1, 16, 16)])
def test_the_chain_keeps_frames_and_size(wan, frames, height, width):
    source = clip(frames, height, width)
    parts = (wan, SDEditDegradation(steps=2), UNTOUCHED, wan.model("a fox", cfg=1))
    result = list(degrade_to_frames(iter(source), *parts, **KEY))
    assert [frame.shape for frame in result] == [(height, width, 3)] * frames
    assert np.array_equal(result, list(degrade_to_frames(source, *parts, **KEY)))


def test_wan_2_2_uses_its_low_noise_part_alone(wan_folder, tmp_path):
    for part in ("vae", "text_encoder", "tokenizer"):
        (tmp_path / part).symlink_to(wan_folder / part)
    (tmp_path / "transformer_2").symlink_to(wan_folder / "transformer")
    (tmp_path / "model_index.json").write_text(json.dumps({"boundary_ratio": 0.875}))
    wan = load_wan(tmp_path, device="cpu")
    degrade_to_latent(clip(1), wan, SDEditDegradation(steps=1), wan.model("a", cfg=1), **KEY)
    with pytest.raises(ValueError, match=r"starts at sigma 0\.9, .* made for less than 0\.875"):
        degrade_to_latent(clip(1), wan, SDEditDegradation(alpha=(0.9, 0.9), steps=1), wan.model("a", cfg=1), **KEY)


def test_what_is_no_text_to_video_model_is_told(wan_folder, tmp_path):
    with pytest.raises(ValueError, match=r"no model in diffusers' layout"):
        load_wan(tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    for part in ("vae", "text_encoder", "tokenizer"):
        (tmp_path / part).symlink_to(wan_folder / part)
    with pytest.raises(ValueError, match="cannot be loaded as a Wan transformer"):
        load_wan(tmp_path, device="cpu")
    WanTransformer3DModel(
        in_channels=36, num_attention_heads=2, attention_head_dim=12, text_dim=24, freq_dim=16, ffn_dim=32, num_layers=1
    ).save_pretrained(tmp_path / "transformer")
    with pytest.raises(ValueError, match="takes 36 channels for latents of 16: it needs more than a prompt"):
        load_wan(tmp_path, device="cpu")


def test_without_diffusers_the_error_says_what_to_install(wan_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match="pip install diffusers transformers"):
        load_wan(wan_folder)
