"""The grid that a sequence of video tokens was flattened from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenGrid:
    """Sizes of a token sequence in the order `t h w`, the reference frames after the target's (U 3.2).

    Attributes:
        frames: Latent frames of the target video, at least 1.
        references: Latent frames of all references together, 0 or more.
        height: Tokens in a column of one frame (latent rows / patch size).
        width: Tokens in a row of one frame.

    Raises:
        ValueError: A size is below its least value.
    """

    frames: int
    references: int
    height: int
    width: int

    def __post_init__(self) -> None:
        for name, least in (("frames", 1), ("references", 0), ("height", 1), ("width", 1)):
            size = getattr(self, name)
            if size < least:
                raise ValueError(f"token grid has {name} {size}, expected at least {least}: check the latent's shape")

    @property
    def total_frames(self) -> int:
        """Frames in the sequence, target and references together."""
        return self.frames + self.references

    @property
    def frame_length(self) -> int:
        """Tokens of one frame."""
        return self.height * self.width

    @property
    def length(self) -> int:
        """Tokens in the sequence."""
        return self.total_frames * self.frame_length
