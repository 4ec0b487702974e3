"""Self-attention over the tokens of a video: full, within temporal units, and sparse local (S 4.4).

`attend` is the one entry. What it does is decided by an `AttentionConfig`, which belongs to the model's config; where
the tokens lie is told by a `TokenGrid`. No form uses a mask, so every form runs on any dense attention kernel.
"""

from .config import AttentionConfig
from .dispatch import attend
from .full import DenseAttention, SharedTokens, full_attention
from .grid import TokenGrid

__all__ = ["AttentionConfig", "DenseAttention", "SharedTokens", "TokenGrid", "attend", "full_attention"]
