"""What a machine has for training: versions, devices, optional packages and weights; nothing is downloaded."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

from gvr_core.cascade import nano_path

NEEDED = ("torch", "accelerate", "numpy", "einops", "safetensors", "opencv-python", "av", "pyarrow", "pyyaml")
OPTIONAL = {
    "tensorboard": "curves while a run goes on",
    "wandb": "trackers=[wandb]",
    "peft": "trainable=lora",
    "deepspeed": "train/launch/ds_zero2.yaml",
    "diffusers": "encode with a published autoencoder",
    "transformers": "prompts; CLIP-I and DINO-I",
    "pyiqa": "LPIPS, MUSIQ, CLIP-IQA, NIQE; not for commercial use",
    "ray": "--engine ray",
}
TORCHVISION = "import torchvision; print(torchvision.__version__)"
PATIENCE = 60
"""Seconds for an import of torchvision."""


def examine() -> str:
    """The report, a line each."""
    lines = [f"Python {platform.python_version()} on {platform.platform()}"]
    lines += [f"{name} {version(name) or 'MISSING: pip install -r train/requirements.txt'}" for name in NEEDED]
    lines += ["", *devices(), f"distributed: {backends()}", f"torchvision: {torchvision_state()}", ""]
    for name, use in OPTIONAL.items():
        lines.append(f"{name} ({use}): {version(name) or 'not installed'}")
    lines += ["", f"Nano: {'here' if nano_path().is_file() else 'MISSING: ' + str(nano_path())}"]
    weights = pyiqa_weights()
    lines.append(f"pyiqa weights: {', '.join(weights) if weights else 'none'} in {pyiqa_folder()}")
    return "\n".join(lines)


def version(package: str) -> str | None:
    """Of an installed package; None where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def devices() -> list[str]:
    """A line for the CPU and for every accelerator."""
    lines = [f"CPU: {os.cpu_count()} cores, {torch.get_num_threads()} threads"]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        lines.append(f"cuda:{index}: {about.name}, {about.total_memory / 2**30:.0f} GiB, {bf16}")
    if torch.backends.mps.is_available():
        lines.append("mps: one process, float32")
    return lines


def backends() -> str:
    """How processes can talk to each other."""
    if not torch.distributed.is_available():
        return "not in this build of torch: one process only"
    there = [
        name
        for name, test in (
            ("nccl", torch.distributed.is_nccl_available),
            ("gloo", torch.distributed.is_gloo_available),
        )
        if test()
    ]
    return ", ".join(there) or "no backend"


def torchvision_state() -> str:
    """Its version, or why it cannot be imported. A build for another torch also breaks programs that only look for it.

    Tried in a process of its own, because a failed import leaves operators behind.
    """
    if importlib.util.find_spec("torchvision") is None:
        return "not installed; only pyiqa needs it"
    try:
        done = subprocess.run(
            [sys.executable, "-c", TORCHVISION], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"BROKEN (no answer in {PATIENCE} s)"
    if done.returncode == 0:
        return done.stdout.strip()
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"BROKEN ({reason}): install the one made for torch {torch.__version__}, or none"


def pyiqa_folder() -> Path:
    """Where pyiqa looks for weights."""
    return Path(torch.hub.get_dir()) / "pyiqa"


def pyiqa_weights() -> list[str]:
    """Names of files that are there."""
    folder = pyiqa_folder()
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
