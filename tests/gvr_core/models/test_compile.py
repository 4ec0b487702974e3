"""torch.compile meets few programs: counted by a backend that runs them as they are."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from gvr_core.attention import AttentionConfig
from gvr_core.models.dit import DiT
from gvr_core.models.dit_config import DiTConfig

from .small_dit import CASCADE, RESIDUAL, latent, randomised, text

LAYERS = 9
"""More than the eight programs after which PyTorch gives up on a function."""
FORMS = {
    "full": (AttentionConfig(), 1),
    "sparse": (AttentionConfig(kind="sparse_local", window=(3, 4)), 1),
    "units": (AttentionConfig(kind="sparse_local", window=(3, 4), unit=2, unit_shift=1, window_shift=True), 2),
    "dense layers": (AttentionConfig(kind="sparse_local", window=(3, 4), window_shift=True, dense_layers=(0, 5)), 3),
}


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def model(config: DiTConfig, attention: AttentionConfig, layers: int = LAYERS) -> DiT:
    return randomised(DiT(replace(config, num_layers=layers, attention=attention))).eval()


def call(dit: DiT, timestep: float | Tensor = 500.0) -> Tensor:
    x, condition = (latent(seed, t=3, h=12, w=8, batch=1) for seed in (1, 5))
    with torch.no_grad():
        return dit(x, timestep, text(batch=1), condition=condition, noise_level=0.2)


@pytest.mark.parametrize("form", FORMS)
def test_layers_that_attend_alike_share_a_program(form):
    attention, programs = FORMS[form]
    dit, counter = model(CASCADE, attention), CompileCounter()
    expected = call(dit)
    for block in dit.blocks:
        block.compile(backend=counter, dynamic=False)
    torch.testing.assert_close(call(dit), expected, rtol=0, atol=1e-5)
    assert counter.frame_count == programs
    call(dit, 250.0)
    assert counter.frame_count == programs


@pytest.mark.parametrize("config", [CASCADE, RESIDUAL], ids=["plain", "residual"])
def test_the_whole_model_is_compiled_once_for_all_noise_levels(config):
    dit, counter = model(config, FORMS["units"][0], layers=2), CompileCounter()
    expected = [call(dit, timestep) for timestep in (900.0, 500.0, 100.0)]
    compiled = torch.compile(dit, backend=counter, dynamic=False, fullgraph=True)
    results = [call(compiled, torch.tensor([timestep])) for timestep in (900.0, 500.0, 100.0)]
    torch.testing.assert_close(results, expected, rtol=0, atol=1e-5)
    assert counter.frame_count == 1
