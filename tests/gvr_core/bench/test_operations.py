"""The calls do the work that was counted for them."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gvr_core.attention import AttentionConfig
from gvr_core.bench.cases import Case
from gvr_core.bench.counts import count_block
from gvr_core.bench.operations import Operations
from gvr_core.bench.sizes import with_form

CPU = torch.device("cpu")
FORMS = ("full", "units", "sparse")


@torch.inference_mode()
def run(call):
    return call()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("references", [0, 2])
def test_shapes_are_those_of_the_size(small_size, form, references):
    size = small_size(frames=13, references=references)
    config, grid = with_form(size.config, form), size.grid
    operations = Operations(CPU, torch.float32)
    shapes = {
        "attention": (1, 2, grid.length, 16),
        "rest": (1, grid.length, 32),
        "block": (1, grid.length, 32),
        "model": (1, 16, grid.frames, grid.height * 2, grid.width * 2),
    }
    for operation, shape in shapes.items():
        result = run(operations.build(Case(operation=operation, config=config, grid=grid)))
        assert result.shape == shape
        assert torch.isfinite(result).all()


@pytest.mark.parametrize("spatial", [False, True])
def test_the_rest_is_a_block_without_its_self_attention(small_size, spatial):
    size = small_size(frames=13, text_dim=0, spatial_attention=spatial)
    case = Case(operation="rest", config=size.config, grid=size.grid)
    with FlopCounterMode(display=False) as counter:
        run(Operations(CPU, torch.float32).build(case))
    block = count_block(size.config, size.grid)
    # PyTorch does not count the fused kernel of CPUs, so the products of the 2-D attention are missing here.
    uncounted = 4 * size.grid.length * size.grid.frame_length * size.config.dim if spatial else 0
    assert counter.get_total_flops() == block.rest - uncounted


def test_forms_share_inputs_and_weights(small_size):
    size = small_size(frames=37, attention=AttentionConfig(kind="sparse_local", window=(4, 6), top_k=99))
    operations = Operations(CPU, torch.float32)
    for operation in ("attention", "block", "model"):
        results = [
            run(operations.build(Case(operation=operation, config=with_form(size.config, form), grid=size.grid)))
            for form in FORMS
        ]
        # Every window selected is full attention: equal only if everything else is.
        torch.testing.assert_close(results[2], results[0], rtol=0, atol=1e-4)
        if operation != "model":  # its head starts at zero
            assert not torch.equal(results[1], results[0])
    assert len(operations._models) == 2  # one of a block, one of the model


def test_the_dtype_is_kept(small_size):
    size = small_size()
    case = Case(operation="model", config=size.config, grid=size.grid)
    assert run(Operations(CPU, torch.bfloat16).build(case)).dtype == torch.bfloat16
