"""The node on a MODEL, another pack's attention override in front of it, and what the pack says in the log."""

import logging

from pack_in_host import pack_module
from torch.nn import functional

attention = pack_module("nodes.attention")
OVERRIDE = "optimized_attention_override"
SETTINGS = {"window_height": 4, "window_width": 6, "top_k": 1, "temporal_units": False, "start_percent": 0.0}
SETTINGS |= {"end_percent": 1.0, "dense_blocks": "", "min_tokens": 0}


class Lines(logging.Handler):
    """Lines of the pack's log."""

    def __init__(self):
        super().__init__()
        self.lines = []
        logging.getLogger().setLevel(logging.INFO)
        logging.getLogger("gvr").addHandler(self)

    def emit(self, record):
        self.lines.append(f"{record.levelname} {record.getMessage()}")

    def take(self):
        """Those since the last time."""
        lines, self.lines = self.lines, []
        return lines


def patched(model, **changes):
    """As the node gives it out: windows of 4 x 6 tokens, one other window."""
    return attention.SparseAttention.execute(model, **{**SETTINGS, **changes}).args[0]


def with_override(model):
    """With the attention of another pack. On a CPU it also makes the patch run as it does on a GPU."""

    def override(_, q, k, v, heads, mask=None, skip_reshape=False, skip_output_reshape=False, **__):
        if not skip_reshape:
            q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        mask = mask[:, None] if mask is not None and mask.ndim == 3 else mask
        out = functional.scaled_dot_product_attention(q, k, v, mask)
        return out if skip_output_reshape else out.transpose(1, 2).flatten(2)

    clone = model.clone()
    clone.model_options["transformer_options"][OVERRIDE] = override
    return clone
