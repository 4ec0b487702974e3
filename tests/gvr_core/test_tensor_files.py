"""Whole or not at all, and with the rights that a new file here has."""

import pytest
import torch
from safetensors.torch import load_file

from gvr_core import tensor_files
from gvr_core.tensor_files import write_tensors


def test_the_file_has_the_rights_of_any_new_file(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    write_tensors(tmp_path / "x.safetensors", {"a": torch.ones(2)}, {"k": "v"})
    assert (tmp_path / "x.safetensors").stat().st_mode == plain.stat().st_mode
    assert torch.equal(load_file(tmp_path / "x.safetensors")["a"], torch.ones(2))


def test_a_failure_keeps_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.ones(2)}, {})
    before = path.read_bytes()

    def full_disk(tensors, target, metadata):
        target.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(tensor_files, "save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_tensors(path, {"a": torch.zeros(2)}, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
