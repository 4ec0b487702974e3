"""Gathered rows and their gradients against indexing in float64."""

import pytest
import torch

from gvr_core.attention import gathering
from gvr_core.attention.gathering import gather_rows


@pytest.mark.parametrize("rows_at_once", [3, 4096])
def test_rows_and_gradients_are_those_of_indexing(rows_at_once, monkeypatch):
    monkeypatch.setattr(gathering, "_ROWS", rows_at_once)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    index, weight = torch.tensor([4, 0, 4, 4, 2, 0, 1]), torch.randn(7, 3, dtype=torch.float64)
    assert torch.equal(gather_rows(x, index), x[index])
    (gradient,) = torch.autograd.grad((gather_rows(x, index) * weight).sum(), x)
    expected = torch.zeros_like(x).index_put((index,), weight, accumulate=True)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_row_that_everyone_takes_keeps_its_whole_gradient_in_bfloat16(device):
    # Added up in bfloat16, ones stop counting at 256.
    x = torch.zeros(2, 4, dtype=torch.bfloat16, device=device, requires_grad=True)
    index = torch.zeros(4096, dtype=torch.long, device=device)
    gather_rows(x, index).sum().backward()
    assert x.grad.tolist() == [[4096.0] * 4, [0.0] * 4]
