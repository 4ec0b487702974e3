"""Spots of colour from the frame before, in ellipses along the motion of what moves (S 4.2.1)."""

from __future__ import annotations

import numpy as np

from .optical_flow import Motion, MotionEstimator


def paint_ellipses(
    previous: np.ndarray, motion: Motion, estimator: MotionEstimator, generator: np.random.Generator
) -> np.ndarray:
    """A layer of paint to be laid over the frame.

    Each ellipse lies on a moving pixel, its long axis within a jitter of the motion there. Its colour is the mean of
    Gaussian-sampled pixels of the previous frame around the place that the flow points to; its weight falls from the
    centre to 0 at the rim. Later ellipses lie over earlier ones.

    Args:
        previous: `h w 3` uint8 RGB, the original of the frame before.
        motion: To that frame.
        estimator: What `motion` was estimated with.
        generator: For this frame of this clip.

    Returns:
        `h w 4` float32 on the map: red, green, blue times weight, and weight from 0 to 1. A frame becomes
        `frame * (1 - weight) + colour`.
    """
    config, scale, ratio = estimator.config, estimator.scale, estimator.map_scale
    layer = np.zeros((*motion.moving.shape, 4), np.float32)
    places = np.flatnonzero(motion.moving)
    # The number follows the moving area; its fraction is drawn, or small things would never be touched.
    count = int(config.ellipses * places.size / motion.moving.size + generator.random())
    if not count or not places.size:
        return layer
    y, x = np.unravel_index(places[generator.integers(0, places.size, count)], motion.moving.shape)
    flow = motion.flow[y, x]
    angles = np.arctan2(flow[:, 1], flow[:, 0]) + np.deg2rad(config.angle_jitter) * generator.standard_normal(count)
    long = generator.uniform(*config.ellipse_size, count) * scale
    short = long * generator.uniform(*config.ellipse_shape, count)
    weights = (config.strength * generator.uniform(0.5, 1, count)).astype(np.float32)
    axes = np.stack([np.cos(angles), np.sin(angles), -np.sin(angles), np.cos(angles)], 1).reshape(count, 2, 2)

    centres = (np.stack([x, y], 1) + 0.5) / ratio - 0.5
    spread = generator.standard_normal((count, config.samples, 2)) * np.stack([long, short], 1)[:, None] / 2
    sampled = np.rint((centres + flow)[:, None] + spread @ axes).astype(int)
    last = np.array(previous.shape[1::-1]) - 1
    sampled = np.clip(sampled, 0, last)
    colours = previous[sampled[..., 1], sampled[..., 0]].mean(1, dtype=np.float32)

    radii = np.stack([long, short], 1) * ratio
    # The boxes around the turned ellipses, cut off at the edges of the map.
    half = np.sqrt(np.einsum("na,nax->nx", radii**2, axes**2))
    centres = np.stack([x, y], 1)
    first = np.maximum(np.floor(centres - half), 0).astype(int)
    last = np.minimum(np.ceil(centres + half), np.array(layer.shape[1::-1]) - 1).astype(int) + 1
    bases = (axes / radii[..., None]).astype(np.float32)
    paints = np.concatenate([colours, np.ones((count, 1), np.float32)], 1)
    columns, rows = np.arange(layer.shape[1], dtype=np.float32), np.arange(layer.shape[0], dtype=np.float32)
    for n in range(count):
        (left, top), (right, bottom) = first[n], last[n]
        right_of, below = columns[left:right] - x[n], rows[top:bottom, None] - y[n]
        (along_x, along_y), (across_x, across_y) = bases[n]
        inside = 1 - (along_x * right_of + along_y * below) ** 2 - (across_x * right_of + across_y * below) ** 2
        cover = np.maximum(inside, 0) ** 2 * weights[n]
        region = layer[top:bottom, left:right]
        region += cover[..., None] * (paints[n] - region)
    return layer
