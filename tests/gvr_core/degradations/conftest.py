"""Clips whose motion is known, made without the code under test."""

import cv2
import numpy as np
import pytest


def texture(height, width, seed, grain=1.2):
    """`h w 3` uint8: smooth noise of full contrast."""
    noise = np.random.default_rng(seed).standard_normal((height, width, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), grain)
    return np.clip(128 + 45 * noise / noise.std(), 0, 255).astype(np.uint8)


class DiscClip:
    """A textured disc that moves evenly over a still, textured background.

    Frames are 256 x 320, where a pixel of the configs is half a pixel. `disc(n)` is the region of the disc in frame n.
    """

    height, width, radius = 256, 320, 50

    def __init__(self, velocity, *, frames=3, tints=None):
        self.velocity, self.centre = np.array(velocity, float), np.array([160.0, 128.0])
        self.background = texture(self.height, self.width, 1)
        self.skin = texture(400, 400, 2)
        self.frames = [self._render(n, None if tints is None else tints[n]) for n in range(frames)]

    def disc(self, n):
        x, y = self.centre + self.velocity * (n - 1)
        rows, columns = np.mgrid[: self.height, : self.width]
        return (columns - x) ** 2 + (rows - y) ** 2 < self.radius**2

    def moved(self, n):
        """Where the disc was or is."""
        return self.disc(n) | self.disc(n - 1)

    def _render(self, n, tint):
        # Sub-pixel motion of the skin with the disc.
        x, y = self.centre + self.velocity * (n - 1)
        matrix = np.array([[1, 0, x - 200], [0, 1, y - 200]])
        skin = cv2.warpAffine(self.skin, matrix, (self.width, self.height), flags=cv2.INTER_CUBIC)
        if tint is not None:
            # The same pattern of brightness in another colour.
            grey = cv2.cvtColor(skin, cv2.COLOR_RGB2GRAY).astype(np.float32) / 128
            skin = np.clip(grey[..., None] * np.array(tint, np.float32), 0, 255).astype(np.uint8)
        return np.where(self.disc(n)[..., None], skin, self.background)


@pytest.fixture
def disc_clip():
    """The class `DiscClip`."""
    return DiscClip


@pytest.fixture
def grown():
    """Function: a region grown by a distance in pixels."""

    def grow(region, distance):
        return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= distance

    return grow
