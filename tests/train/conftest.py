"""Two short clips on disk and tiny configs, so that a real run takes seconds."""

import cv2
import numpy as np
import pytest

from gvr_core.video import VideoWriter
from train.fit_config import load_fit_config


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Folder with two clips of moving coloured texture and one that is held out."""
    folder = tmp_path_factory.mktemp("clips")
    for number, name in enumerate(("a.mp4", "b.mp4", "held_out.mp4")):
        random = np.random.default_rng(number)
        texture = cv2.resize(
            random.integers(0, 256, (24, 40, 3), dtype=np.uint8), (160, 96), interpolation=cv2.INTER_CUBIC
        )
        with VideoWriter(folder / name, width=96, height=64, fps=8) as writer:
            writer.write(np.stack([texture[k : k + 64, 2 * k : 2 * k + 96] for k in range(12)]))
    return folder


@pytest.fixture
def make_config(clips, tmp_path):
    """Function: the config of a tiny VAE run in `tmp_path / name`, with overrides."""

    def make(name="run", *overrides, preset="nano_vae"):
        small = [
            f"output={tmp_path / name}",
            f"data.root={clips}",
            f"data.cache={tmp_path / 'cache'}",
            "data.validation=[held_out.mp4]",
            "data.short_sides=[64]",
            "data.frames=5",
            "data.crop=32",
            "steps=4",
            "batch=2",
            "save_every=2",
            "precision=float32",
        ]
        if preset == "nano_vae":
            small += ["model.width=8", "model.encoder_blocks=1", "model.decoder_blocks=1", "objective.start_samples=4"]
        return load_fit_config(preset, small + list(overrides))

    return make
