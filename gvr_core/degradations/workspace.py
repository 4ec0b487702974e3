"""Arrays that are used again for every frame: on most systems fresh ones of a frame's size cost as much as a filter."""

from __future__ import annotations

import math

import numpy as np


class Workspace:
    """Keeps memory for the frames of one clip, one frame at a time."""

    def __init__(self) -> None:
        self._memory: dict[str, np.ndarray] = {}
        self._grid = np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)

    def array(self, name: str, *shape: int) -> np.ndarray:
        """A contiguous float32 array with undefined values. Asking for a name again takes the memory back."""
        count = math.prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.size < count:
            memory = self._memory[name] = np.empty(count, np.float32)
        return memory[:count].reshape(shape)

    def grid(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """x and y of every pixel, `h w` float32 each, not to be written to."""
        rows, columns = (max(pair) for pair in zip((height, width), self._grid[0].shape, strict=True))
        if self._grid[0].shape != (rows, columns):
            x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
            x.flags.writeable = y.flags.writeable = False
            self._grid = x, y
        return self._grid[0][:height, :width], self._grid[1][:height, :width]
