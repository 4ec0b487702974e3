"""Random numbers that depend on what they are for, never on who draws them or in which order.

Every generator is made of whole numbers alone: the seed, the clip's id, a purpose and the frame in the whole clip. So a
clip is degraded to the same bytes in one piece or in chunks, by one worker or by many, today or after an interruption.
"""

from __future__ import annotations

import hashlib

import numpy as np

FLOW_ELLIPSES = 0
"""Purpose: the ellipses of the flow-based degradation, for each frame."""
SYNTHETIC_CLIP = 1
"""Purpose: the parameters of the synthetic degradation, once for a clip."""
SYNTHETIC_NOISE = 2
"""Purpose: the noise of the synthetic degradation, for each frame."""
REFERENCE_PICTURE = 3
"""Purpose: the augmentation of a reference picture; the frame is the picture's number."""
REFERENCE_VIDEO = 4
"""Purpose: the start of a reference video."""
SDEDIT = 5
"""Purpose: the noise of the model-guided degradation."""
SDEDIT_LEVEL = 6
"""Purpose: how much of it there is."""


def clip_number(clip_id: str) -> int:
    """128 bits that stand for a clip's id, the same in every process (Python's own `hash` is not)."""
    return int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:16], "big")


def keyed_generator(seed: int, clip_id: str, purpose: int, frame: int = 0) -> np.random.Generator:
    """The generator for one purpose in one frame of one clip.

    Args:
        seed: 0 to 2**64 - 1.
        clip_id: any text; clips with different ids get independent numbers.
        purpose: one of the constants of this module.
        frame: number of the frame in the whole clip, 0 or more.

    Raises:
        ValueError: seed or frame out of range.
    """
    return np.random.default_rng(_sequence(seed, clip_id, purpose, frame))


def clip_seed(seed: int, clip_id: str, purpose: int) -> int:
    """A seed of 64 bits for one purpose in one clip, for code that draws by itself (`noise.frame_noise`).

    Args and errors are those of `keyed_generator`.
    """
    return int(_sequence(seed, clip_id, purpose, 0).generate_state(1, np.uint64)[0])


def _sequence(seed: int, clip_id: str, purpose: int, frame: int) -> np.random.SeedSequence:
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}, expected a whole number from 0 to 2**64 - 1")
    if not 0 <= frame < 2**64:
        raise ValueError(f"frame is {frame}, expected its number in the clip, 0 or more")
    # Words of fixed number: SeedSequence reads (1 + 2**32 * 5) and (1, 5) as the same list of 32-bit words.
    parts = ((seed, 2), (clip_number(clip_id), 4), (purpose, 1), (frame, 2))
    return np.random.SeedSequence([part >> 32 * word & 0xFFFFFFFF for part, words in parts for word in range(words)])
