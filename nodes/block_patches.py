"""What other packs put into the parts of a transformer, by ComfyUI's names for them: blocks, attention, positions.

Replaced blocks are honoured: a block of the cascade is a "double_block" as one of Wan's. For the rest a cascade has no
place, and that is told instead of nothing happening.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..gvr_core.models.blocks import TokenContext, run_block

BLOCK = "double_block"


def block_runner(options: dict[str, Any]) -> Callable[..., Tensor]:
    """What the cascade calls its blocks by: through the functions of `patches_replace`, where there are any.

    The blocks themselves are left as they are: they may be compiled, or changed by others.

    Args:
        options: transformer_options of the call.
    """
    given = options.get("patches_replace", {}).get("dit", {})
    functions = {key[1]: function for key, function in given.items() if key[0] == BLOCK}
    if not functions:
        return run_block

    def run(
        number: int, block: nn.Module, x: Tensor, time: Tensor, text: Tensor | None, tokens: TokenContext
    ) -> Tensor:
        function = functions.get(number)
        if function is None:
            return block(x, time, text, tokens)

        def original_block(args: dict[str, Any]) -> dict[str, Tensor]:
            return {"img": block(args["img"], args["vec"], args["txt"], tokens)}

        # As ComfyUI's Wan model calls it.
        args = {"img": x, "txt": text, "vec": time, "pe": tokens.rotary, "transformer_options": options}
        return function(args, {"original_block": original_block})["img"]

    return run


def without_place(options: dict[str, Any], num_layers: int) -> list[str]:
    """What of the options a cascade of `num_layers` blocks cannot follow, by ComfyUI's names."""
    replaced = options.get("patches_replace", {})
    found = [name for name, functions in options.get("patches", {}).items() if functions]
    found += [name for name, functions in replaced.items() if name != "dit" and functions]
    # Nodes that name blocks of two kinds do so for models that have both; here the first kind is what counts.
    layers = [key[1] for key in replaced.get("dit", {}) if key[0] == BLOCK]
    found += [f"block {layer}" for layer in layers if not 0 <= layer < num_layers]
    if options.get("rope_options"):
        found.append("rope_options")
    return sorted(found)
