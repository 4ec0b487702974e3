"""What other packs put into the parts of a transformer, by ComfyUI's names for them: blocks, attention, positions.

Replaced blocks are honoured: a block of the cascade is a "double_block" as one of Wan's. For the rest a cascade has no
place, and that is told instead of nothing happening.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

BLOCK = "double_block"


def replace_blocks(blocks: Sequence[nn.Module], options: dict[str, Any]) -> list[nn.Module]:
    """Puts the functions of `patches_replace` around the blocks that they name; `restore_blocks` undoes it.

    Args:
        blocks: of the cascade.
        options: transformer_options of the call.

    Returns:
        The blocks that have changed.
    """
    given = options.get("patches_replace", {}).get("dit", {})
    changed = []
    for layer, block in enumerate(blocks):
        function = given.get((BLOCK, layer))
        if function is not None:
            block.forward = partial(_run, function, block.forward, options)
            changed.append(block)
    return changed


def restore_blocks(blocks: Sequence[nn.Module]) -> None:
    """The blocks as their class has them."""
    for block in blocks:
        del block.forward


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


def _run(
    function: Callable, forward: Callable, options: dict[str, Any], x: Tensor, time: Tensor, text: Any, tokens: Any
) -> Tensor:
    """A block through a function of another pack, which is called as ComfyUI's Wan model calls it."""

    def original_block(args: dict[str, Any]) -> dict[str, Tensor]:
        return {"img": forward(args["img"], args["vec"], args["txt"], tokens)}

    args = {"img": x, "txt": text, "vec": time, "pe": tokens.rotary, "transformer_options": options}
    return function(args, {"original_block": original_block})["img"]
