"""From losses to new weights: gradients over the groups of a step, their norm, and the optimiser, or no change at all.

Through accelerate for one process, DDP and FSDP2; DeepSpeed's engine has its own ways.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


class Update:
    """Wraps module and optimiser.

    Attributes:
        module: to be called for the loss.
        optimizer: torch's; its state is that of the parameters as they are now.
    """

    def __init__(
        self, accelerator: Accelerator, module: nn.Module, optimizer: torch.optim.Optimizer, clip_norm: float
    ) -> None:
        self._accelerator, self._clip_norm = accelerator, clip_norm
        self.module, self._prepared = accelerator.prepare(module, optimizer)
        self.optimizer: torch.optim.Optimizer = self._prepared.optimizer

    @contextmanager
    def accumulate(self, *, is_last: bool) -> Iterator[None]:
        """Forward and backward of a group go in here; gradients are exchanged once, with the last group."""
        with nullcontext() if is_last else self._accelerator.no_sync(self.module):
            yield

    def backward(self, loss: Tensor) -> None:
        """Add to the gradients."""
        self._accelerator.backward(loss)

    def clip(self) -> float:
        """Limit the gradient's norm over all processes, and return what it was before."""
        norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), self._clip_norm)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def finish(self, *, go: bool) -> None:
        """Step, or leave weights and optimiser as they are; forget the gradients."""
        if go:
            self._prepared.step()
        self._prepared.zero_grad()

    def tensors(self, model: nn.Module) -> dict[str, Tensor]:
        """The optimiser's state by parameter name and kind, themselves, not copies."""
        return {
            f"{name}.{key}": value
            for name, parameter in model.named_parameters()
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }

    @torch.no_grad()
    def expect(self, model: nn.Module, stored: set[str]) -> None:
        """Make room for the state in a checkpoint; a parameter that had no gradient before it has none there."""
        for name, parameter in model.named_parameters():
            if f"{name}.step" in stored:
                self.optimizer.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }

    def save(self, folder: Path) -> None:
        """Write what `tensors` does not have: nothing here."""

    def load(self, folder: Path) -> None:
        """Read it."""


class DeepSpeedUpdate(Update):
    """ZeRO 1 or 2 in float32: gradients and optimiser in shards, whole weights on every process.

    The optimiser's shards are in DeepSpeed's own files in the checkpoint, for as many processes as wrote them.
    """

    def __init__(
        self, accelerator: Accelerator, module: nn.Module, optimizer: torch.optim.Optimizer, clip_norm: float
    ) -> None:
        config = accelerator.state.deepspeed_plugin.deepspeed_config
        stage = config.get("zero_optimization", {}).get("stage")
        if stage not in (1, 2):
            raise ValueError(f"the DeepSpeed config has zero stage {stage}, expected 1 or 2: FSDP2 shards weights too")
        # The sizes of batches are the plan's; DeepSpeed only has to know that each backward pass counts as it is.
        config |= {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": clip_norm,
        }
        config.pop("train_batch_size", None)
        super().__init__(accelerator, module, optimizer, clip_norm)

    @contextmanager
    def accumulate(self, *, is_last: bool) -> Iterator[None]:
        self.module.set_gradient_accumulation_boundary(is_last)
        yield

    def backward(self, loss: Tensor) -> None:
        self.module.backward(loss)

    def clip(self) -> float:
        norm = float(self.module.optimizer.scaled_global_norm())
        return norm if norm >= 0 else math.nan  # DeepSpeed's -1 is one that is not finite

    def finish(self, *, go: bool) -> None:
        if not go:
            # The engine itself leaves out a step with such a gradient, and clears what belongs to it.
            for gradients in self.module.optimizer.averaged_gradients.values():
                for gradient in gradients:
                    gradient.fill_(math.nan)
        self.module.step()

    def tensors(self, model: nn.Module) -> dict[str, Tensor]:
        return {}

    def expect(self, model: nn.Module, stored: set[str]) -> None:
        pass

    def save(self, folder: Path) -> None:
        self.module.save_checkpoint(str(folder), tag="deepspeed")

    def load(self, folder: Path) -> None:
        if not (folder / "deepspeed").is_dir():
            raise ValueError(f"{folder} was not written by DeepSpeed: go on as the run began, with another launch file")
        self.module.load_checkpoint(str(folder), tag="deepspeed")


def make_update(accelerator: Accelerator, module: nn.Module, optimizer: Any, clip_norm: float) -> Update:
    """The one for this launch."""
    is_deepspeed = accelerator.distributed_type == "DEEPSPEED"
    return (DeepSpeedUpdate if is_deepspeed else Update)(accelerator, module, optimizer, clip_norm)
