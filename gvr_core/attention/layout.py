"""How a video is cut into windows, and how many of them may attend to each other."""

from __future__ import annotations

from dataclasses import dataclass

from .grid import TokenGrid
from .windows import fit_shift, fit_window, windows_per_frame


@dataclass(frozen=True)
class WindowLayout:
    """Windows of every frame and what they may choose.

    Attributes:
        grid: where the tokens lie.
        bounds: (start, stop) frames of each temporal unit; one pair for the whole video without units.
        window: height and width in tokens, not larger than the frame.
        shift: rows and columns before the first whole window; 0 along an axis that one window covers.
        top_k: other windows per window and head; more than there are means all.
    """

    grid: TokenGrid
    bounds: tuple[tuple[int, int], ...]
    window: tuple[int, int]
    shift: tuple[int, int]
    top_k: int

    @classmethod
    def fit(
        cls,
        grid: TokenGrid,
        bounds: list[tuple[int, int]],
        window: tuple[int, int],
        shift: tuple[int, int],
        top_k: int,
    ) -> WindowLayout:
        """With window and shift cut down to what fits the grid."""
        window = fit_window(grid, window)
        return cls(grid, tuple(bounds), window, fit_shift(grid, window, shift), top_k)

    @property
    def length(self) -> int:
        """Tokens of a window."""
        return self.window[0] * self.window[1]

    @property
    def per_frame(self) -> int:
        """Windows of a frame."""
        return windows_per_frame(self.grid, self.window, self.shift)

    @property
    def most_attended(self) -> int:
        """The most windows that one attends to."""
        references = self.grid.references
        frames = self.grid.total_frames if references else max(stop - start for start, stop in self.bounds)
        return min(frames * self.per_frame, 1 + self.top_k + bool(references))
