"""`python -m gvr_core info` on each kind of file."""

import json

import numpy as np
import torch

from gvr_core.checkpoints import Header, save_checkpoint
from gvr_core.cli.main import main
from gvr_core.latent_files import LatentFile, write_latent
from gvr_core.video import VideoWriter


def info(capsys, path):
    code = main(["info", str(path), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if code == 0 else captured.err


def test_a_checkpoint(capsys, tiny_checkpoint):
    code, values = info(capsys, tiny_checkpoint)
    assert code == 0
    assert (values["kind"], values["space"]) == ("checkpoint", "nano")
    assert set(values["parts"]) == {"dit", "upsampler", "vae"}
    assert values["parts"]["vae"]["config"]["width"] == 8
    assert values["inference"]["num_steps"] == 3
    assert main(["info", str(tiny_checkpoint)]) == 0
    assert "num_layers: 2" in capsys.readouterr().out


def test_what_a_header_says_is_printed_whatever_it_is(capsys, tmp_path):
    training = {"clips": [f"clip {n}" for n in range(20)], "curve": [0.5] * 20, "seed": 3, "notes": {"a": None}}
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, {}, Header(space="nano", parts={}, training=training), dtype=torch.float32)
    assert main(["info", str(path)]) == 0
    out = capsys.readouterr().out
    assert "clip 0, clip 1" in out
    assert "curve: 20 numbers from 0.5 to 0.5" in out


def test_a_latent(capsys, tmp_path):
    write_latent(tmp_path / "x.safetensors", LatentFile(latent=torch.ones(1, 48, 2, 3, 4), space="nano", frames=5))
    code, values = info(capsys, tmp_path / "x.safetensors")
    assert code == 0
    assert (values["kind"], values["shape"], values["frames"], values["mean"]) == ("latent", [1, 48, 2, 3, 4], 5, 1.0)


def test_a_video(capsys, tmp_path):
    with VideoWriter(tmp_path / "x.mp4", width=32, height=16, fps=10) as writer:
        writer.write(np.zeros((4, 16, 32, 3), np.uint8))
    code, values = info(capsys, tmp_path / "x.mp4")
    assert code == 0
    assert (values["width"], values["height"], values["frames"], values["fps"]) == (32, 16, 4, 10.0)


def test_nothing_there(capsys, tmp_path):
    code, error = info(capsys, tmp_path / "none.mp4")
    assert code == 2
    assert error.startswith("error: no such file")
