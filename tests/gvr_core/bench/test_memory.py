"""Peaks of resident memory against what a call must at least hold."""

import pytest
import torch

from gvr_core.attention import TokenGrid
from gvr_core.bench import memory
from gvr_core.bench.cases import Case
from gvr_core.bench.memory import available_bytes, resident_peaks
from gvr_core.bench.sizes import model_config, with_form, with_heads

GRID = TokenGrid(frames=2, references=0, height=36, width=48)
CONFIG = with_heads(model_config("1.3b"), 2, 128)


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="only Linux tells")
def test_the_peak_holds_at_least_the_result():
    own = Case(operation="attention", config=with_form(CONFIG, "full"), grid=GRID)
    sparse = Case(operation="attention", config=CONFIG, grid=GRID)
    one = GRID.length * 2 * 128 * 4
    peaks = resident_peaks([own, sparse], torch.float32)
    if None in peaks:
        pytest.skip("this container does not tell")
    assert one * 0.9 <= peaks[0] <= 4 * one + 2**25
    assert 2 * one <= peaks[1] <= 20 * one + 2**25  # window copies and gathered keys beside the result


def test_without_linux_it_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "none")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "none")
    case = Case(operation="attention", config=CONFIG, grid=GRID)
    assert resident_peaks([case, case], torch.float32) == [None, None]
    assert available_bytes() is None


def test_free_memory_is_read(monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:  16 kB\nMemAvailable:    8 kB\n", encoding="ascii")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    assert available_bytes() == 8192
