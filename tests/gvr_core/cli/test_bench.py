"""`python -m gvr_core bench`: one JSON object, marked figures, errors in one line."""

import json

import pytest
import torch

from gvr_core.bench import benchmark, limit
from gvr_core.cli.main import main

TINY = ("bench", "--size", "nano", "--frames", "5", "--height", "32", "--width", "48", "--device", "cpu")
FIGURES = {"full_s", "units_s", "sparse_s", "ratio", "limit_share", "extra_memory_ratio"}


@pytest.fixture(autouse=True)
def small_machine(monkeypatch):
    """Small measurements of the machine on one thread, memory without a process."""
    monkeypatch.setitem(limit.MATMUL_SIZE, "cpu", 64)
    monkeypatch.setattr(limit, "COPY_BYTES", 2**16)
    monkeypatch.setattr(benchmark, "resident_peaks", lambda cases, dtype: [10**6] * len(cases))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def test_one_json_object(capsys):
    values = json.loads(run(capsys, *TINY, "--budget", "5", "--json"))
    assert {"machine", "size", "forms", "attention", "block", "model", "forecast", "calibration"} == set(values)
    assert set(values["machine"]) >= {"device", "threads", "torch", "dtype", "matmul_flops", "copy_bytes_per_s", "load"}
    for name in ("attention", "block", "model"):
        section = values[name]
        assert set(section) >= FIGURES | {"measured", "cases", "out_of_memory"}
        assert set(section["measured"]) >= FIGURES
        assert all(section[figure] > 0 for figure in FIGURES)
        assert section["ratio"] == pytest.approx(section["full_s"] / section["sparse_s"], rel=2e-3)
    assert values["size"]["grid"] == [2, 2, 3]
    assert [entry["evaluations"] for entry in values["forecast"]["runs"]] == [50, 65]  # Nano has no text


def test_attention_alone(capsys, tiny_checkpoint):
    grid = ("--attention", "--grid", "3x5x7", "--heads", "2", "--head-dim", "8", "--dtype", "bfloat16")
    values = json.loads(run(capsys, "bench", "--size", str(tiny_checkpoint), *grid, "--budget", "60", "--json"))
    assert values["block"] is values["model"] is None
    assert "forecast" not in values
    assert values["attention"]["measured"]["ratio"]
    assert values["machine"]["dtype"] == "bfloat16"
    assert values["size"] | {"grid": [3, 5, 7], "tokens": 105, "heads": 2, "head_dim": 8} == values["size"]
    assert values["forms"]["sparse"]["window"] == [4, 4]


def test_a_table_for_people(capsys):
    out = run(capsys, *TINY, "--budget", "3", "--steps", "10", "--n-ref", "5")
    for text in ("attention  full", "block ", "model ", "of limit", "of 10 steps", "15 evaluations", "~ extrapolated"):
        assert text in out


def test_an_hour_of_work_is_extrapolated_and_said_to_be(capsys):
    values = json.loads(run(capsys, "bench", "--size", "nano", "--device", "cpu", "--budget", "1", "--json"))
    for name in ("attention", "block", "model"):
        assert not values[name]["measured"]["full_s"]
        assert not values[name]["measured"]["ratio"]
    assert values["attention"]["cases"]["full"]["size"] != "20x68x120, 3 heads"


def test_a_plot_is_drawn(capsys, tmp_path):
    pytest.importorskip("matplotlib", reason="training installs matplotlib")
    picture = tmp_path / "x.png"
    assert f"plot: {picture}" in run(capsys, *TINY, "--budget", "1", "--plot", str(picture))
    assert picture.stat().st_size > 1000


def test_torch_compile_that_does_not_work_is_said(capsys, monkeypatch):
    def fail(self, findings):
        raise RuntimeError("InvalidCxxCompiler: no working\n C++ compiler")

    monkeypatch.setattr(benchmark.Benchmark, "compiled_again", fail)
    values = json.loads(run(capsys, *TINY, "--budget", "2", "--compile", "--json"))
    assert values["compiled"] == {"error": "InvalidCxxCompiler: no working C++ compiler"}
    assert values["model"]["sparse_s"] > 0
    assert "torch.compile does not work here" in run(capsys, *TINY, "--budget", "2", "--compile")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--grid", "5x68"), "'5x68' is not frames x rows x columns"),
        (("--attention", "--grid", "0x4x4"), "give for example 5x68x120"),
        (("--grid", "5x68x120"), "--grid goes with --attention only"),
        (("--head-dim", "64"), "--head-dim goes with --attention only"),
        (("--attention", "--head-dim", "65"), "expected an even number"),
        (("--attention", "--heads", "0"), "got 0 heads of 128 channels"),
        (("--size", "70b"), "model size is '70b'"),
        (("--frames", "0"), "frames is 0"),
        (("--height", "0"), "is 0, expected at least 1"),
        (("--references", "11"), "expected at most 10"),
        (("--steps", "0"), "number of steps is 0"),
        (("--n-ref", "60"), "the run has only 50"),
        (("--budget", "0"), "budget is 0.0 seconds"),
        (("--quick", "--budget", "5"), "not allowed with"),
        (("--dtype", "int8"), "invalid choice: 'int8'"),
        (("--device", "meta"), "device 'meta' cannot be used here"),
        (("--plot", "x.gif"), "suffix is '.gif'"),
        (("--plot", "nowhere/x.png"), "cannot write"),
    ],
)
def test_wrong_calls_are_one_line(capsys, arguments, text):
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert text in line
