"""The noise that all surfaces are made of, and leaves that stay inside their canvas."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gvr_core.sample_clip.textures import draw_leaves, fractal_noise


@given(
    height=st.integers(1, 60), width=st.integers(1, 60), cell=st.floats(2, 80), octaves=st.integers(1, 6),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_noise_has_its_size_and_stays_around_a_half(height, width, cell, octaves, seed):
    noise = fractal_noise(height, width, cell=(cell, cell), octaves=octaves, rng=np.random.default_rng(seed))
    assert noise.shape == (height, width)
    assert noise.dtype == np.float32
    assert np.all((noise > -0.3) & (noise < 1.3))


def test_noise_is_smooth_within_a_cell():
    noise = fractal_noise(64, 64, cell=(32, 32), octaves=1, rng=np.random.default_rng(0))
    assert np.abs(np.diff(noise, axis=0)).max() < 3 / 32


def test_leaves_are_drawn_at_their_places_and_cut_at_the_border():
    canvas = np.zeros((40, 60, 3), np.uint8)
    centres = np.array([[30.0, 20.0], [-500.0, 20.0], [60.0, 40.0]])
    draw_leaves(canvas, centres, size=12, colour=(80, 130, 60), rng=np.random.default_rng(0))
    rows, columns = np.nonzero(canvas.max(2))
    assert canvas[20, 30].max() > 0
    distance = np.minimum(np.hypot(rows - 20, columns - 30), np.hypot(rows - 40, columns - 60))
    assert distance.max() < 9
