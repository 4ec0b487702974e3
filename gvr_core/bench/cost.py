"""What a run of the cascade will cost, told before it starts: sizes, evaluations, time and memory of each form.

Pure functions of a checkpoint's config, sizes, settings, a calibration and the machine's memory. Sizes and counts are
exact; times need a calibration (`observed`, or `bench`) and are estimates, as is memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from ..attention import AttentionConfig, TokenGrid
from ..geometry import UpscalePlan, latent_space, plan_short_side, plan_upscale
from ..guidance import MultiGuidance
from ..models.dit_config import DiTConfig
from .counts import count_parameters, model_cost
from .estimate import FORMS, REST, Calibration, Form, form_of, itemsize_of, model_seconds, needed_shares, token_bytes
from .sizes import with_form

SPARSE_OF_FULL = 0.45
"""Share of the limit that sparse local attention reaches, of that of full attention (measured on a CPU; ours)."""
BLOCK_TENSORS = 11.0
"""Peak memory of a block in token tensors where it has not been measured: float32 and bfloat16 alike (`bench`)."""
LATENTS = 8
"""float32 latents alive in a sampler: state, condition, noise, predictions."""
DECODE_NUMBERS = 7000
"""Numbers per pixel of a frame that a VAE of Wan's or HunyuanVideo's kind needs to decode it whole (ComfyUI's own
estimate for Wan 2.1)."""
LIGHT_VAES = frozenset({"nano"})
"""Spaces whose decoder works in small pieces by itself."""
TARGETS = (1440, 1080, 720, 480)
"""Shorter sides that are proposed where a target is too large."""
Target = Literal["scale", "720", "1080", "1440", "2160"]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Size of a video, in frames and pixels."""

    frames: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where it will run.

    Attributes:
        device_bytes: memory of the computing device that models can have, None where unknown.
        main_bytes: free main memory, None where unknown.
        is_cpu: the computing device is the CPU, both memories are the same one.
    """

    device_bytes: int | None
    main_bytes: int | None
    is_cpu: bool


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run of the cascade.

    Attributes:
        config: of the checkpoint, with the attention that will run.
        source: the low-resolution video.
        target: size of the result: "scale", or its shorter side in pixels.
        scale: enlargement, where target is "scale".
        references: latent frames of references.
        with_references: evaluations of the model that see them.
        without_references: the others.
        compute_dtype: name of the dtype of the activations.
        weight_bytes: of the model.
        tile_decode: the result is decoded in tiles; None where nothing is known of it.
        sparse_share: share of the run in which `config.attention` acts, the rest has the checkpoint's own.
        own: the checkpoint's own attention.
    """

    config: DiTConfig
    source: Clip
    target: Target
    scale: float
    references: int = 0
    with_references: int = 0
    without_references: int = 1
    compute_dtype: str = "float32"
    weight_bytes: int | None = None
    tile_decode: bool | None = None
    sparse_share: float = 1.0
    own: AttentionConfig | None = None

    @property
    def plan(self) -> UpscalePlan:
        """All sizes. Raises ValueError for impossible ones."""
        return plan_target(self.config.space, self.source, self.target, self.scale)

    @property
    def output(self) -> Clip:
        """The result."""
        plan = self.plan
        return Clip(frames=self.source.frames, height=plan.height, width=plan.width)

    @property
    def grid(self) -> TokenGrid:
        """The model's tokens, references included."""
        plan, (_, rows, columns) = self.plan, self.config.patch_size
        return TokenGrid(
            frames=latent_space(self.config.space).latent_frames(self.source.frames),
            references=self.references,
            height=plan.latent_height // rows,
            width=plan.latent_width // columns,
        )

    @property
    def evaluations(self) -> int:
        """Of the model."""
        return self.with_references + self.without_references


@dataclass(frozen=True, kw_only=True)
class FormCost:
    """One form of attention.

    Attributes:
        form: its name.
        is_used: it is what will run.
        flops: of the whole run, executed.
        seconds: of the whole run; None without a calibration.
        is_rough: the time rests on another form's or another model's measurement.
        peak_bytes: most memory of the computing device, weights included.
    """

    form: Form
    is_used: bool
    flops: int
    seconds: float | None
    is_rough: bool
    peak_bytes: int


def plan_target(space: str, source: Clip, target: str, scale: float) -> UpscalePlan:
    """The sizes that Latent Cascade Upsample will choose. Raises ValueError for impossible ones."""
    if target == "scale":
        return plan_upscale(latent_space(space), source.height, source.width, scale=scale)
    return plan_short_side(latent_space(space), source.height, source.width, int(target))


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Steps in a row that cost the same.

    Attributes:
        steps: how many.
        evaluations: of the model, in each of them.
        with_references: those that see the references.
    """

    steps: int
    evaluations: int
    with_references: int


def guided_evaluations(
    guidance: MultiGuidance,
    calls: Sequence[Sequence[int]],
    *,
    has_text: bool,
    has_references: bool,
    empty_references: bool = False,
) -> list[Stretch]:
    """Stretches of a guided run, by the rule of `forecast.count_evaluations`.

    Args:
        guidance: the scales.
        calls: for each step of the solver where it asks for predictions, as indices of steps; `[i]` for step i of all
            but higher-order ones, which may ask at the end of a step too: that is where the next one begins.
        has_text: the model has a prompt.
        has_references: the run has references.
        empty_references: a prediction without references has empty ones, as many tokens as before.
    """
    steps = []
    for asked in calls:
        needed = [
            references
            for step in asked
            for _, references in guidance.evaluations(step, has_text=has_text, has_references=has_references)
        ]
        seeing = sum(has_references and (empty_references or references) for references in needed)
        steps.append((len(needed), seeing))
    return stretches_of(steps)


def stretches_of(steps: Iterable[tuple[int, int]]) -> list[Stretch]:
    """The stretches of a run, from the evaluations of each step and those of them that see the references."""
    return [Stretch(steps=len(list(run)), evaluations=n, with_references=seen) for (n, seen), run in groupby(steps)]


def form_costs(job: Job, calibration: Calibration | None, *, is_exact: bool = True) -> list[FormCost]:
    """Full attention, temporal units and sparse local attention, in this order.

    Args:
        job: the run; the form it uses is taken as it is, for the others see `sizes.with_form`.
        calibration: of this machine, in the dtype of the computation.
        is_exact: it was made with a model as wide as this one.
    """
    used = form_of(job.config.attention)
    costs = []
    for form in FORMS:
        variant = job if form == used else replace(job, config=with_form(job.config, form), own=None)
        cost = form_cost(variant, calibration)
        costs.append(replace(cost, is_used=form == used, is_rough=cost.is_rough or not is_exact))
    return costs


def form_cost(job: Job, calibration: Calibration | None) -> FormCost:
    """The cost of a job as it is."""
    itemsize = itemsize_of(job.compute_dtype)
    parts = [(job.config, job.sparse_share)]
    if job.own is not None and job.sparse_share < 1:
        parts.append((replace(job.config, attention=job.own), 1 - job.sparse_share))
    grids = [(job.grid, job.with_references), (replace(job.grid, references=0), job.without_references)]
    flops, seconds, is_rough = 0.0, None if calibration is None else 0.0, False
    for config, share in parts:
        filled, guessed = (None, False) if calibration is None else with_guesses(calibration, needed_shares(config))
        is_rough |= guessed
        for grid, evaluations in grids:
            if not evaluations:
                continue
            flops += share * evaluations * model_cost(config, grid, itemsize).executed
            if filled is not None:
                seconds += share * evaluations * model_seconds(config, grid, filled)
    return FormCost(
        form=form_of(job.config.attention),
        is_used=True,
        flops=round(flops),
        seconds=seconds,
        is_rough=is_rough,
        peak_bytes=weight_bytes(job) + activation_bytes(job, calibration),
    )


def with_guesses(calibration: Calibration, needed: set[str]) -> tuple[Calibration, bool]:
    """The calibration with forms that have not run yet guessed from those that have, and whether any was guessed."""
    achieved = dict(calibration.achieved)
    missing = needed - set(achieved)
    if not missing:
        return calibration, False
    dense = achieved.get("full") or achieved.get("units")
    if dense is None:
        dense = achieved["sparse"] / SPARSE_OF_FULL if "sparse" in achieved else achieved[REST]
    guesses = {"full": dense, "units": dense, "sparse": achieved.get("sparse", dense * SPARSE_OF_FULL)}
    return replace(calibration, achieved={**guesses, **achieved}), True


def weight_bytes(job: Job) -> int:
    """Bytes of the model's weights."""
    if job.weight_bytes is not None:
        return job.weight_bytes
    return count_parameters(job.config) * itemsize_of(job.compute_dtype)


def activation_bytes(job: Job, calibration: Calibration | None) -> int:
    """Peak bytes of an evaluation besides the weights: tokens, what a block needs, and the sampler's latents."""
    measured = {} if calibration is None else calibration.extra_memory
    tensors = 1 + measured.get(form_of(job.config.attention), BLOCK_TENSORS)
    plan, space = job.plan, latent_space(job.config.space)
    cells = job.grid.total_frames * plan.latent_height * plan.latent_width
    return round(tensors * token_bytes(job.config, job.grid, job.compute_dtype)) + LATENTS * cells * space.channels * 4


def decoded_bytes(job: Job) -> int:
    """Main memory of the decoded video, as images of float32."""
    out = job.output
    return out.frames * out.height * out.width * 3 * 4


def whole_decode_bytes(job: Job) -> int:
    """Memory that decoding whole frames takes on the computing device; 0 where the decoder works in pieces."""
    if job.config.space in LIGHT_VAES:
        return 0
    itemsize = 4 if job.compute_dtype == "float32" else 2
    return DECODE_NUMBERS * job.plan.padded_height * job.plan.padded_width * itemsize


def smaller_targets(job: Job) -> Sequence[int]:
    """Shorter sides below the present one that are no smaller than the input."""
    out, source = job.output, job.source
    least, most = min(source.height, source.width), min(out.height, out.width)
    return [side for side in TARGETS if least <= side < most]
