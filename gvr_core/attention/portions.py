"""How much of sparse local attention is worked on at once, so that its copies fit into a given memory."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .full import SharedTokens
from .layout import WindowLayout

# CUDA attention kernels fail above 65,535 in the batch dimension, some earlier, when element counts pass 32 bits.
MAX_BATCH = 2**12


@dataclass(frozen=True)
class Portions:
    """What is worked on at once, each at least 1.

    Attributes:
        heads: whose keys and values are cut into windows together.
        frames: whose queries and results are cut into windows together.
        windows: whose keys and values are gathered for one call of the dense operation.
    """

    heads: int
    frames: int
    windows: int


def choose_portions(
    layout: WindowLayout, q: Tensor, shared: SharedTokens | None, *, extra_bytes: int, keeps_copies: bool
) -> Portions:
    """The largest portions whose copies fit into `extra_bytes`, or the smallest there are.

    Half of the memory is for the keys and values of some heads, a quarter for the queries and results of some frames, a
    quarter for what some windows attend to.

    Args:
        layout: the windows.
        q: queries, `b heads n d`; one sample is worked on at a time.
        shared: keys and values that every window attends to besides.
        extra_bytes: memory beside inputs and result.
        keeps_copies: gradients will need all copies anyway, so frames are not worked on apart.
    """
    length, attended = layout.length, layout.most_attended
    token_bytes = q.shape[3] * q.element_size()
    head = 2 * layout.grid.total_frames * layout.per_frame * length * token_bytes
    # With shared tokens keys and values are there a second time while they are put together.
    gathered = (attended * length + (0 if shared is None else shared.k.shape[2])) * token_bytes
    gathered *= 2 if shared is None else 4
    heads = max(1, min(q.shape[1], extra_bytes // 2 // head, extra_bytes // 4 // gathered))
    # Queries, results, and the results once more where they come in several calls; the numbers of attended windows.
    frame = heads * layout.per_frame * (3 * length * token_bytes + 16 * attended)
    frames = layout.grid.total_frames
    if not keeps_copies:
        frames = max(1, min(frames, extra_bytes // 4 // frame))
    return Portions(heads, frames, max(1, min(MAX_BATCH, extra_bytes // 4 // (heads * gathered))))
