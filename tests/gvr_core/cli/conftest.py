"""The command `upscale` on a tiny cascade, and clips for it."""

import cv2
import numpy as np
import pytest

from gvr_core.cli.main import main
from gvr_core.video import VideoReader, VideoWriter


@pytest.fixture
def run(tiny_checkpoint, capsys):
    """Function: exit code, standard output and last line of standard error of a call."""

    def call(*arguments, model=tiny_checkpoint):
        code = main(["upscale", *map(str, arguments), "--model", str(model), "--device", "cpu"])
        captured = capsys.readouterr()
        return code, captured.out, (captured.err.strip().splitlines() or [""])[-1]

    return call


def write_clip(path, frames=5, height=16, width=24, fps=12, seed=0):
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (frames, 4, 4, 3), dtype=np.uint8)
    clip = np.stack([cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in small])
    with VideoWriter(path, width=width, height=height, fps=fps) as writer:
        writer.write(clip)
    return path


def frames_of(path):
    with VideoReader(path) as reader:
        return np.stack(list(reader))
