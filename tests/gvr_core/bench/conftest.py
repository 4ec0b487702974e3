"""Sizes that run in no time, and a small machine to measure them against."""

from dataclasses import replace

import pytest
import torch

from gvr_core.attention import AttentionConfig
from gvr_core.bench import limit
from gvr_core.bench.findings import Findings, Measured
from gvr_core.bench.limit import Rates
from gvr_core.bench.measure import Timing
from gvr_core.bench.sizes import Size, model_config


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny operations take longer to share out than to do, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_rates(monkeypatch):
    """Matrix products and copies that take microseconds."""
    monkeypatch.setitem(limit.MATMUL_SIZE, "cpu", 64)
    monkeypatch.setattr(limit, "COPY_BYTES", 2**16)


@pytest.fixture(scope="session")
def small_size():
    """Function: a Wan-shaped size of 2 x 4 x 6 tokens with changes of its config."""

    def make(frames=5, references=0, **changes):
        values = {
            "dim": 32,
            "ffn_dim": 48,
            "num_heads": 2,
            "num_layers": 2,
            "freq_dim": 16,
            "text_dim": 24,
            "attention": AttentionConfig(kind="sparse_local", window=(2, 3)),
        }
        config = replace(model_config("1.3b"), **{**values, **changes})
        return Size(config=config, frames=frames, height=64, width=96, references=references)

    return make


@pytest.fixture(scope="session")
def made_findings():
    """Function: findings of cases with given seconds (None: out of memory) at 1 TFLOP/s and 100 GB/s."""

    def make(size, seconds, peaks=None, load=0.0):
        return Findings(
            size=size,
            dtype="float32",
            machine={"device": "paper machine", "kind": "cpu", "threads": 2, "torch": "2", "cores": 2, "load": load},
            rates=Rates(matmul_flops=1e12, copy_bytes_per_s=1e11),
            measured={
                (case.operation, case.form): Measured(
                    case=case, timing=Timing(seconds=value, runs=1 if value else 0, extra_bytes=None)
                )
                for case, value in seconds.items()
            },
            peaks={(case.operation, case.form): (case, value) for case, value in (peaks or {}).items()},
        )

    return make
