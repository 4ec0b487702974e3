"""Exit codes: whatever the user can mend is one `error: ...` line and 2, a mistake of ours stays a traceback."""

import argparse
from fractions import Fraction

import pytest
import torch

from gvr_core.cli import main as cli
from gvr_core.cli.upscale import choose_device, frame_rate


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "required: command"),
        (("upscale", "in.mp4"), "required: OUT"),
        (("upscale", "in.mp4", "out.mp4", "--scale", "big"), "invalid float value: 'big'"),
        (("upscale", "in.mp4", "out.mp4", "--scale", "2", "--height", "64"), "not allowed with"),
        (("upscale", "in.mp4", "out.mp4", "--fps", "1/0"), "'1/0' is not above 0"),
        (("upscale", "in.mp4", "out.mp4", "--bogus"), "unrecognized arguments: --bogus"),
    ],
)
def test_wrong_calls_are_one_line(capsys, arguments, text):
    assert cli.main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert text in line


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    ],
)
def test_too_little_memory_is_said(capsys, monkeypatch, error):
    monkeypatch.setattr(cli, "run_info", lambda arguments: (_ for _ in ()).throw(error))
    assert cli.main(["info", "x"]) == 2
    assert capsys.readouterr().err.startswith("error: not enough memory")


def test_what_the_system_refuses_is_said(capsys, monkeypatch):
    error = PermissionError(13, "Permission denied", "secret.mp4")
    monkeypatch.setattr(cli, "run_info", lambda arguments: (_ for _ in ()).throw(error))
    assert cli.main(["info", "x"]) == 2
    assert capsys.readouterr().err == "error: [Errno 13] Permission denied: 'secret.mp4'\n"


def test_other_errors_of_torch_are_not_hidden(monkeypatch):
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    monkeypatch.setattr(cli, "run_info", lambda arguments: (_ for _ in ()).throw(error))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        cli.main(["info", "x"])


def test_devices(monkeypatch):
    assert choose_device("cpu") == torch.device("cpu")
    for name in ("meta", "cuda:99", "hpu", "abacus", ""):  # one without values, one too many, one without its package
        with pytest.raises(ValueError, match=f"device '{name}' cannot be used here"):
            choose_device(name)
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert choose_device("auto").type == expected


def test_frame_rates():
    assert [frame_rate(t) for t in ("24", "23.976", "30000/1001")] == [24, Fraction("23.976"), Fraction(30000, 1001)]
    for text in ("0", "-3", "1001", "nan", "fast", "1/0"):
        with pytest.raises(argparse.ArgumentTypeError, match="at most 1000"):
            frame_rate(text)
