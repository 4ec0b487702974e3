"""Low-rank adapters on the base model's layers (peft), so that a cascade of Wan 1.3B trains on one 24 GB card.

The base model is frozen; the adapters are trained, and whole what the base model does not have or has in another form:
patch embedding (grown by the condition's channels), noise embedding, per-frame attention, upsampler. Only these are in
the state dict, and so in checkpoints: the base comes from `init_from` whenever the model is made.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gvr_core.models.dit import DiT

from .fit_config import LoraConfig

ADAPTER = "gvr"
NEW_PARTS = ("patch_embedding.", "noise_embedding.", ".spatial_attn.")
"""Parts of names in the DiT that are trained whole."""


def add_adapters(model: nn.Module, config: LoraConfig, *, bf16_base: bool = False) -> None:
    """Put adapters into `model.dit`, in place, and freeze everything else that it takes over from the base model.

    Before training the model computes what it computed before: the adapters' second matrix is zero.

    Args:
        model: has a `dit`, with the base model's weights; its other parts are trained whole.
        config: rank, scale and targets.
        bf16_base: keep the frozen matrices below the adapters in bfloat16, which under autocast changes nothing but
            the memory.

    Raises:
        ValueError: peft is not installed, or the block has no such layer.
    """
    peft = _import_peft()
    dit: DiT = model.dit
    layers = _targets(dit, config)
    targets = [f"blocks.{n}.{layer}" for n in range(len(dit.blocks)) for layer in layers]
    peft.inject_adapter_in_model(
        peft.LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=targets), dit, adapter_name=ADAPTER
    )
    for name, parameter in dit.named_parameters():
        parameter.requires_grad_(".lora_" in name or any(part in name for part in NEW_PARTS))
    if bf16_base:
        for _, layer in adapted_layers(dit):
            layer.base_layer.to(torch.bfloat16)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.register_state_dict_post_hook(_TrainedOnly(trained))


def adapted_layers(dit: nn.Module) -> Iterator[tuple[str, Any]]:
    """Name and peft layer of every layer with an adapter."""
    from peft.tuners.lora import LoraLayer

    for name, module in dit.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


@torch.no_grad()
def merge_adapters(model: nn.Module) -> None:
    """Add the adapters of `model.dit` to the weights below them and take them away, in place."""
    for name, layer in list(adapted_layers(model.dit)):
        layer.merge()
        _replace(model.dit, name, layer.base_layer)


def remove_adapters(model: nn.Module) -> None:
    """Take the adapters of `model.dit` away: the base model with its new parts is left, in place."""
    for name, layer in list(adapted_layers(model.dit)):
        _replace(model.dit, name, layer.base_layer)


def adapter_tensors(dit: nn.Module) -> dict[str, Tensor]:
    """The adapters as ComfyUI and diffusers read them: `NAME.lora_A.weight`, `.lora_B.weight` and `.alpha`."""
    tensors = {}
    for name, layer in adapted_layers(dit):
        tensors[f"{name}.lora_A.weight"] = layer.lora_A[ADAPTER].weight.detach()
        tensors[f"{name}.lora_B.weight"] = layer.lora_B[ADAPTER].weight.detach()
        tensors[f"{name}.alpha"] = torch.tensor(float(layer.lora_alpha[ADAPTER]))
    return tensors


def new_parts(dit: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of the DiT that are trained whole, by name."""
    return {n: p for n, p in dit.named_parameters() if any(part in n for part in NEW_PARTS)}


class _TrainedOnly:
    """Takes everything out of a state dict that is not trained."""

    def __init__(self, trained: set[str]) -> None:
        self.trained = trained

    def __call__(self, module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
        names = {prefix + name for name in self.trained}
        for name in [name for name in state if name.startswith(prefix) and name not in names]:
            del state[name]


def _targets(dit: DiT, config: LoraConfig) -> list[str]:
    """The layers of a block that get adapters; a class-free model has no cross-attention that could."""
    layers = [name for name, module in dit.blocks[0].named_modules() if isinstance(module, nn.Linear)]
    wanted = [name for name in config.targets if dit.config.text_dim or not name.startswith("cross_attn.")]
    for target in wanted:
        if target not in layers:
            near = difflib.get_close_matches(target, layers, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected some of {', '.join(layers)}"
            raise ValueError(f"lora.targets has {target!r}, which no block of this model has: {hint}")
    return wanted


def _replace(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(root.get_submodule(parent), attribute, module)


def _import_peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ValueError("trainable is lora, which needs peft, and that is not installed: pip install peft") from error
    return peft
