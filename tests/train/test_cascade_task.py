"""The cascade's task: its loss is the papers' formula, its conditions are what the plan says."""

import pytest
import torch
from torch.nn import functional

from gvr_core.cascade import nano_path
from gvr_core.checkpoints import load_part
from train.fit_config import load_fit_config
from train.noise import batch_noise, sample_generators
from train.plan import plan_group
from train.tasks import make_task
from train.tasks.cascade_sources import halve

PLAIN = (
    "model.residual_std=null",
    "objective.upsampler=",
    "model.upsampler={hidden: 8, low_blocks: 1, high_blocks: 1}",
)


@pytest.fixture(scope="module")
def task():
    return make_task(load_fit_config("tiny", ["micro_batch=2"]))


@pytest.fixture(scope="module")
def groups(task):
    return task.groups()


def first_group(task, groups, wanted):
    """A group of the wanted task with references."""
    for g in range(100):
        plan = plan_group(task.config.seed, g, task.config.data)
        if plan.task == wanted and not plan.dropped:
            return groups[g]
    raise AssertionError(wanted)


def test_the_loss_of_an_untrained_cascade_is_the_mean_square_of_the_velocity():
    """U's and S's objective: the model's first output is zero, so the loss is the mean square of noise minus clean."""
    task = make_task(load_fit_config("tiny", list(PLAIN)))
    batch = task.groups()[0]
    loss, _ = task.loss(batch)
    generators = sample_generators(batch["noise_seed"])
    noise = batch_noise(generators, batch["clean"].shape[1:], torch.device("cpu"))
    assert loss.item() == pytest.approx(functional.mse_loss(noise, batch["clean"]).item(), rel=1e-5)


def test_the_condition_of_an_untrained_upsampler_is_bilinear():
    task = make_task(load_fit_config("tiny", list(PLAIN)))
    batch = task.groups()[0]
    assert batch["low"].shape[-1] * 2 == batch["clean"].shape[-1]
    expected = functional.interpolate(
        batch["low"].flatten(1, 2), size=batch["clean"].shape[-2:], mode="bilinear", align_corners=False
    ).unflatten(1, batch["low"].shape[1:3])
    torch.testing.assert_close(task.condition(batch), expected, rtol=1e-4, atol=1e-5)


def test_the_upsampler_learns_with_the_transformer():
    task = make_task(load_fit_config("tiny", list(PLAIN)))
    torch.nn.init.normal_(task.model.dit.head.head.weight, std=0.02)
    task.loss(task.groups()[0])[0].backward()
    assert task.model.upsampler.conv_out.weight.grad.abs().max() > 0
    assert set(task.modules()) == {"dit", "upsampler"}


def test_latents_are_those_of_the_vae(task, groups):
    """The bank's clean latent equals the VAE's own of the same pixels."""
    vae = load_part(nano_path(), "vae")
    piece = task.groups().bank.pieces[0][0][0]
    frames = torch.from_numpy(groups.clips.arrays[0][0][:5]).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    height, width = (n // 16 * 16 for n in frames.shape[-2:])
    expected = vae.encode(frames[..., :height, :width])[0]
    torch.testing.assert_close(torch.from_numpy(piece.latents["clean"]).float(), expected, rtol=1e-2, atol=1e-2)


def test_references_reach_the_model_at_their_times(task, groups):
    batch = first_group(task, groups, "multi_id")
    latents, times = task.references(batch)
    count = batch["reference_images"].shape[1]
    assert times == list(range(20, 20 + count))
    assert latents.shape == (2, 48, count, 8, 8)
    vae = load_part(nano_path(), "vae")
    picture = batch["reference_images"][1, 0].float()[None, :, None] / 127.5 - 1
    torch.testing.assert_close(latents[1:, :, :1], vae.encode(picture), rtol=1e-4, atol=1e-4)
    batch = first_group(task, groups, "edit")
    latents, times = task.references(batch)
    assert times == [30, 31]
    assert latents.shape == (2, 48, 2, 8, 8)


def test_a_group_without_references_has_none(task, groups):
    for g in range(30):
        plan = plan_group(task.config.seed, g, task.config.data)
        latents, times = task.references(groups[g])
        assert (latents is not None) == plan.has_references == bool(times)


def test_a_fixed_sigma_fixes_the_noise_level(task, groups):
    _, figures = task.loss(groups[0], sigma=0.25)
    assert figures["sigma"] == pytest.approx(0.25)
    first, again = (task.loss(groups[0], sigma=0.25)[0] for _ in range(2))
    assert torch.equal(first, again)


def test_prompts_are_dropped_as_often_as_asked():
    """S, U: the empty prompt takes the place of one in ten."""
    task = make_task(load_fit_config("tiny", ["model.text_dim=8", "objective.drop_text=0.1"]))
    text, null = torch.ones(1, 4, 8), torch.zeros(4, 8)
    batch = {"text": text, "null_text": null}
    dropped = sum(
        bool((task._text(batch, sample_generators(torch.tensor([seed]))) == 0).all()) for seed in range(10_000)
    )
    assert (dropped - 1000) ** 2 / 1000 + (dropped - 1000) ** 2 / 9000 < 10.83


def test_noise_levels_are_uniform_in_their_range(task):
    levels = torch.cat([task._noise_levels(sample_generators(torch.tensor([seed]))) for seed in range(10_000)])
    counts = torch.histc(levels, 10, 0.0, 0.3)
    assert counts.sum() == 10_000
    assert ((counts - 1000) ** 2 / 1000).sum() < 27.88


def test_weights_of_a_cascade_are_where_a_run_begins():
    values = load_fit_config("nano", ["data.root=unused"])
    assert values.init_from == "nano"
    config = load_fit_config("nano", ["data.source=rendered", "data.short_sides=[256]"])
    task = make_task(config)
    task.start()
    expected = load_part(nano_path(), "dit").state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in task.model.dit.state_dict().items())


def test_other_weights_are_refused_by_name():
    with pytest.raises(ValueError, match="does not fit"):
        make_task(load_fit_config("tiny", ["init_from=nano"])).start()


def test_halved_twice_the_mean_stays():
    video = torch.rand(1, 3, 2, 8, 8)
    torch.testing.assert_close(halve(halve(video)).mean(), video.mean())
