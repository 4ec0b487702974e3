"""The typed configuration of a training run. Fields that a task alone understands are in `model` and `objective`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gvr_core.degradations.config import ReferenceAugmentation

from .config import load_config

SOURCES = ("clips", "pairs", "rendered")
TASKS = ("t2v", "multi_id", "edit")


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """References of the samples of tasks `multi_id` and `edit` (U 3.2, A.2, Table 3).

    Attributes:
        most_images: a `multi_id` sample has 1 to so many pictures.
        drop: share of groups with references that are trained without them, so that the null condition exists (ours).
        whole: share of pictures that show the whole of the sample's place instead of a cut-out (source "clips"; ours).
        augment: how they are changed; Table 3 by default.
    """

    most_images: int = 3
    drop: float = 0.1
    whole: float = 0.2
    augment: ReferenceAugmentation = field(default_factory=ReferenceAugmentation)

    def __post_init__(self) -> None:
        if self.most_images < 1:
            raise ValueError(f"data.references.most_images is {self.most_images}, expected at least 1")
        for name in ("drop", "whole"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.references.{name} is {getattr(self, name)}, expected a share in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the samples come from and how they are cut.

    Attributes:
        source: "clips" (a folder of videos, decoded and encoded once), "pairs" (the folder that `train encode` made) or
            "rendered" (clips that this project draws, for trying things out).
        root: the folder; unused by "rendered".
        cache: folder for decoded clips and their latents (made on first use, reused afterwards).
        validation: file names (clips) or keys (pairs) never trained on.
        short_sides: clips are resized to these short sides in pixels; a sample takes one of them.
        frames: frames of a sample, 4n+1; 0 with "pairs": every length that is there.
        crop: side of the square sample in pixels; 0 with "pairs": whole samples, in their buckets.
        halve: share of samples cut twice as large and halved by area averaging (a model of low-resolution input).
        tasks: weights of the tasks "t2v", "multi_id" and "edit" (U 3.4).
        variants: degradations of "pairs" to use; empty for all.
        references: see there.
    """

    root: str = ""
    source: str = "clips"
    cache: str = ""
    validation: tuple[str, ...] = ()
    short_sides: tuple[int, ...] = ()
    frames: int = 0
    crop: int = 0
    halve: float = 0.0
    tasks: dict[str, float] = field(default_factory=lambda: {"t2v": 1.0})
    variants: tuple[str, ...] = ()
    references: ReferenceConfig = field(default_factory=ReferenceConfig)

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"data.source is {self.source!r}, expected one of {', '.join(SOURCES)}")
        if self.source != "rendered" and not self.root:
            raise ValueError(f"data.root is empty, the source {self.source} needs a folder: add data.root=DIR")
        if self.frames % 4 != 1 and (self.frames or self.source != "pairs"):
            raise ValueError(f"data.frames is {self.frames}, expected 4n+1 (1, 5, 9, 17, ...)")
        if not 0 <= self.halve <= 1:
            raise ValueError(f"data.halve is {self.halve}, expected a share in [0, 1]")
        if self.source != "pairs":
            if not self.short_sides:
                raise ValueError("data.short_sides is empty, expected the sizes clips are resized to, such as [384]")
            limit = min(self.short_sides) // (2 if self.halve else 1)
            if not 0 < self.crop <= limit:
                raise ValueError(f"data.crop is {self.crop} pixels, the smallest clip offers {limit}: lower it")
        unknown = sorted(set(self.tasks) - set(TASKS))
        if unknown or not self.tasks or min(self.tasks.values()) < 0 or sum(self.tasks.values()) <= 0:
            raise ValueError(f"data.tasks is {self.tasks}, expected weights of {', '.join(TASKS)}, not all 0")


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW with linear warm-up and a cosine decay, gradient clipping and an average of the weights.

    Attributes:
        learning_rate: peak.
        weight_decay: AdamW's.
        warmup_steps: steps of linear warm-up.
        clip_norm: largest norm of the gradient.
        ema_decay: of the average of the weights; 0 keeps none.
        betas: AdamW's.
        final: learning rate at the last step as a share of the peak; 1 keeps it constant.
    """

    learning_rate: float
    weight_decay: float = 0.01
    warmup_steps: int = 500
    clip_norm: float = 1.0
    ema_decay: float = 0.9999
    betas: tuple[float, ...] = (0.9, 0.999)
    final: float = 0.1

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.clip_norm <= 0 or self.warmup_steps < 0:
            raise ValueError(
                f"optim has learning_rate {self.learning_rate}, clip_norm {self.clip_norm}, warmup_steps "
                f"{self.warmup_steps}: expected the first two above 0, the third at least 0"
            )
        if not 0 <= self.ema_decay < 1 or not 0 <= self.final <= 1 or len(self.betas) != 2:
            raise ValueError(
                f"optim has ema_decay {self.ema_decay}, final {self.final}, betas {list(self.betas)}: expected the "
                "first in [0, 1), the second in [0, 1], two betas"
            )


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters (peft) on the base model's layers; the new parts are trained whole.

    Attributes:
        rank: of the adapters.
        alpha: their scale times rank.
        targets: names of the layers inside a block.
    """

    rank: int = 32
    alpha: float = 32.0
    targets: tuple[str, ...] = (
        "self_attn.q",
        "self_attn.k",
        "self_attn.v",
        "self_attn.o",
        "cross_attn.q",
        "cross_attn.k",
        "cross_attn.v",
        "cross_attn.o",
        "ffn.0",
        "ffn.2",
    )

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not self.targets:
            raise ValueError(
                f"lora has rank {self.rank}, alpha {self.alpha} and {len(self.targets)} targets, expected at least 1, "
                "above 0 and at least one"
            )


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """What is looked at while training.

    Attributes:
        every: steps between two looks; 0 for none.
        groups: held-out groups for the loss at fixed noise levels.
        sigmas: these noise levels.
        videos: held-out clips that are sampled, measured and written as videos.
    """

    every: int = 0
    groups: int = 4
    sigmas: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    videos: int = 1


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """One training run. `task` names the objective and decides what `model` and `objective` may hold.

    Attributes:
        task: "vae", "upsampler" or "cascade".
        output: folder of the run.
        seed: of everything random.
        steps: optimiser steps.
        batch: samples of a step, over all processes.
        micro_batch: samples of one forward pass on one process; 0 for the whole batch at once.
        precision: "float32" or "bf16" (autocast; weights and optimiser stay float32).
        save_every: steps between checkpoints.
        keep: newest checkpoints that stay.
        init_from: weights to begin with: Wan's text-to-video transformer, or a checkpoint of this project; "" for none.
        trainable: "all", as in the papers, or "lora".
        gradient_checkpointing: recompute the blocks in the backward pass: less memory, a third more time.
        workers: processes that load samples, for each training process.
        trackers: of "tensorboard", "wandb"; the log file is always written.
        data, optim, lora, validation: see there.
        model: of the task.
        objective: of the task.
    """

    task: str
    output: str
    seed: int
    steps: int
    batch: int
    precision: str
    save_every: int
    data: DataConfig
    optim: OptimConfig
    model: dict[str, Any]
    objective: dict[str, Any]
    micro_batch: int = 0
    keep: int = 2
    init_from: str = ""
    trainable: str = "all"
    gradient_checkpointing: bool = False
    workers: int = 0
    trackers: tuple[str, ...] = ("tensorboard",)
    lora: LoraConfig = field(default_factory=LoraConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name, choices in (("precision", ("float32", "bf16")), ("trainable", ("all", "lora"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected {' or '.join(choices)}")
        if self.micro_batch < 0 or self.workers < 0:
            raise ValueError(f"micro_batch is {self.micro_batch} and workers {self.workers}, expected at least 0")
        if self.batch % self.group:
            raise ValueError(
                f"batch is {self.batch} and micro_batch {self.micro_batch}: the second must divide the first"
            )
        if self.trainable == "lora" and not self.init_from:
            raise ValueError("trainable is lora, but init_from is empty: adapters need a trained model below them")

    @property
    def group(self) -> int:
        """Samples of a group: of one forward pass."""
        return self.micro_batch or self.batch


def load_fit_config(source: str, overrides: list[str]) -> FitConfig:
    """The configuration of a training run; see `load_config`."""
    return load_config(FitConfig, source, overrides)
