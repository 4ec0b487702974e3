"""`info FILE`: what is in a checkpoint, a latent or a video."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..checkpoints import count_parameters, read_header
from ..latent_files import LATENT_SUFFIXES, read_latent
from ..video import probe


def describe(path: Path) -> dict[str, Any]:
    """Plain values about a file; `kind` is "checkpoint", "latent" or "video".

    Raises:
        ValueError: nothing is there, or it is none of the three.
    """
    if not path.exists():
        raise ValueError(f"no such file: {path}")
    if path.suffix.lower() == ".safetensors" and _is_checkpoint(path):
        return describe_checkpoint(path)
    if path.suffix.lower() in LATENT_SUFFIXES:
        file = read_latent(path)
        return {
            "kind": "latent",
            "shape": list(file.latent.shape),
            "space": file.space,
            "frames": file.frames,
            "fps": None if file.fps is None else float(file.fps),
            "height": file.height,
            "width": file.width,
            "mean": round(float(file.latent.mean()), 4),
            "std": round(float(file.latent.std()), 4),
        }
    info = probe(path)
    return {
        "kind": "video",
        "width": info.width,
        "height": info.height,
        "frames": info.frames,
        "fps": float(info.fps),
        "audio": info.has_audio,
        "seconds": info.duration,
    }


def describe_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint's header says, with the number of parameters of each part."""
    header = read_header(path)
    parts = {
        name: {"parameters": count_parameters(path, name), "config": config} for name, config in header.parts.items()
    }
    inference = None if header.inference is None else vars(header.inference)
    return {
        "kind": "checkpoint",
        "space": header.space,
        "parts": parts,
        "inference": inference,
        "statistics": sorted(header.statistics),
        "training": header.training,
    }


def run_info(arguments: argparse.Namespace) -> None:
    values = describe(arguments.file)
    if arguments.json:
        print(json.dumps(values))
        return
    for name, value in values.items():
        if name == "parts":
            for part, entry in value.items():
                print(f"{part}: {entry['parameters'] / 1e6:.1f} M parameters")
                for key, setting in entry["config"].items():
                    print(f"  {key}: {_short(setting)}")
        elif isinstance(value, dict):
            print(f"{name}:")
            for key, setting in value.items():
                print(f"  {key}: {_short(setting)}")
        else:
            print(f"{name}: {_short(value)}")


def _short(value: Any) -> str:
    """One line; long lists of numbers by their length and range."""
    if isinstance(value, (list, tuple)):
        if len(value) > 8 and all(isinstance(v, (int, float)) for v in value):
            return f"{len(value)} numbers from {min(value):.4g} to {max(value):.4g}"
        return ", ".join(_short(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {_short(v)}" for k, v in value.items())
    return "unknown" if value is None else str(value)


def _is_checkpoint(path: Path) -> bool:
    """True for safetensors files with a GVR header; False for others and for what cannot be opened."""
    try:
        with safe_open(path, framework="pt") as file:
            return "gvr" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False
