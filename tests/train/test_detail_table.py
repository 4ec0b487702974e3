"""The detail table: the transform is SciPy's, and a model with known gains gets exactly them."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from gvr_core.cascade import nano_path
from gvr_core.checkpoints import load_part, read_header, read_part
from gvr_core.models.dit import TIMESTEPS
from train.cli import main
from train.detail_table.measure import (
    ProfileSettings,
    Video,
    dct2,
    high_frequencies,
    make_table,
    measure_detail,
    warn_of_gaps,
)
from train.timesteps import read_table

HEIGHT, WIDTH, STEPS = 8, 12, 10


def test_the_transform_is_that_of_scipy():
    fft = pytest.importorskip("scipy.fft")
    x = torch.randn(2, 3, 2, 9, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = fft.dctn(x.numpy(), type=2, norm="ortho", axes=(-2, -1))
    np.testing.assert_allclose(dct2(x).numpy(), expected, rtol=0, atol=1e-12)


def test_high_frequencies_lie_above_the_cutoff():
    x = torch.randn(1, 2, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    kept = high_frequencies(x, 0.5)
    for u in range(HEIGHT):
        for v in range(WIDTH):
            assert bool(kept[..., u, v].any()) == (u / HEIGHT + v / WIDTH >= 0.5)
    torch.testing.assert_close(
        high_frequencies(x, 1e-6).square().sum() + x.mean((-2, -1)).square().sum() * HEIGHT * WIDTH, x.square().sum()
    )


def wave(u, v):
    """A basis function of the transform: energy 1, all of it in coefficient (u, v)."""
    rows, columns = (np.arange(n) + 0.5 for n in (HEIGHT, WIDTH))
    plane = np.outer(np.cos(np.pi * u * rows / HEIGHT), np.cos(np.pi * v * columns / WIDTH))
    return torch.from_numpy(plane / np.linalg.norm(plane)).float()


class KnownDetail(nn.Module):
    """A model whose clean estimate in step k is `high[k]` of a fine wave and `low[k]` of a coarse one."""

    def __init__(self, high, low):
        super().__init__()
        self.patch_embedding = nn.Conv3d(1, 1, 1)  # the sampler looks at its type and place
        self.high, self.low = high, low

    def forward(self, x, timestep, context, *, condition, noise_level, references, reference_times):
        sigma = timestep / TIMESTEPS
        step = round((1 - sigma) * STEPS)
        clean = self.high[step] * wave(6, 9) + self.low[step] * wave(1, 1)
        return (x - clean) / sigma  # velocity: denoised = x - sigma * velocity


def measured(measure, high, low=(0.0,) * STEPS):
    video = Video(torch.zeros(1, 3, 2, HEIGHT, WIDTH), 0.3)
    settings = ProfileSettings(steps=STEPS, measure=measure)
    return list(measure_detail(KnownDetail(high, low), [video, video], settings))[-1][1]


AMPLITUDES = (0.0, 0.0, 1.0, 3.0, 3.0, 2.0, 2.0, 2.5, 2.5, 4.0)


@pytest.mark.parametrize(("measure", "power"), [("energy", 2), ("norm", 1)])
def test_known_gains_give_exactly_their_table(measure, power):
    gains = np.abs(np.diff(np.array(AMPLITUDES) ** power))
    gains = np.append(gains, gains[-1])  # nothing comes after the last estimate
    table = measured(measure, AMPLITUDES)
    np.testing.assert_allclose(table.gains, gains / gains.sum(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(table.sigmas, np.linspace(1, 0, STEPS + 1), rtol=0, atol=1e-6)


def test_coarse_changes_are_no_detail():
    coarse = tuple(np.random.default_rng(0).normal(size=STEPS) * 5)
    assert measured("energy", AMPLITUDES, coarse).gains == pytest.approx(measured("energy", AMPLITUDES).gains, abs=1e-5)
    with pytest.raises(ValueError, match=r"gain 0\.0 detail in all"):
        make_table([0.0, 0.0], 0.0)


def test_videos_count_by_their_detail_and_the_floor_is_spread(caplog):
    table = make_table([3.0, 1.0, 0.0, 0.0], 0.0)
    assert table.gains == pytest.approx([0.75, 0.25, 0, 0])
    warn_of_gaps(table)
    assert "2 of 4 bins, between sigma 0.00 and 0.50" in caplog.text
    caplog.clear()
    table = make_table([3.0, 1.0, 0.0, 0.0], 0.2)
    assert table.gains == pytest.approx([0.65, 0.25, 0.05, 0.05])
    warn_of_gaps(table)
    assert not caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 1}, "at least 2"),
        ({"cutoff": 2.0}, "below 2"),
        ({"measure": "x"}, "energy, norm"),
        ({"floor": 2}, "share"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ProfileSettings(**settings)


def test_the_command_measures_draws_and_attaches(clips, tmp_path, capsys):
    model = tmp_path / "nano.safetensors"
    model.write_bytes(nano_path().read_bytes())
    out, plot = tmp_path / "table.json", tmp_path / "table.png"
    command = [
        "profile-timesteps",
        str(model),
        "--data",
        str(clips),
        "--out",
        str(out),
        "--plot",
        str(plot),
        "--attach",
    ]
    assert main([*command, "--videos", "2", "--steps", "4", "--short-side", "64", "--frames", "5"]) == 0
    table = read_table(out)
    assert len(table.gains) == 4
    assert plot.read_bytes()[:4] == b"\x89PNG"
    assert "2 videos" in capsys.readouterr().out
    before, after = read_header(nano_path()), read_header(model)
    assert after.statistics == {**before.statistics, "detail_table": json.loads(out.read_text())}
    assert (after.parts, after.inference) == (before.parts, before.inference)
    old, new = read_part(nano_path(), "dit"), read_part(model, "dit")
    assert all(torch.equal(old[name], new[name]) and old[name].dtype == new[name].dtype for name in old)
    load_part(model, "vae")


def test_what_cannot_be_measured_is_told(clips, tmp_path, capsys):
    assert main(["profile-timesteps", "nano", "--data", str(clips), "--frames", "17"]) == 2
    assert "no clip in" in capsys.readouterr().err
    assert main(["profile-timesteps", str(tmp_path), "--data", str(clips), "--attach"]) == 2
    assert "the export takes the table along" in capsys.readouterr().err
