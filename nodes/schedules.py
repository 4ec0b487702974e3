"""Sigma schedules: exact partial ones, and the detail-aware one of the checkpoint."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..gvr_core.schedules import DetailTable, make_sigmas, resample_below
from . import host
from .choices import check_choice
from .model import cascade_of
from .widgets import scheduler_input, steps_input

DENSE_STEPS = 1000
"""Steps of the schedule that a partial one is cut from; flow models of ComfyUI know 1000 noise levels."""


def partial_schedule(model: Any, scheduler: str, steps: int, alpha: float, *, sampler: str = "euler") -> Tensor:
    """A host scheduler's sigmas from exactly `alpha` to 0 in `steps` steps, `(steps + 1,)`.

    Raises:
        ValueError: the model is no flow model, or alpha is out of its range.
    """
    check_choice("scheduler", scheduler, host.scheduler_names())
    if not host.is_flow(model):
        raise ValueError(
            "the model is no flow model, its noise levels are no share of noise between 0 and 1: use ComfyUI's own "
            "schedulers and denoise for it"
        )
    full = host.calculate_sigmas(model, scheduler, steps, sampler)
    dense = host.calculate_sigmas(model, scheduler, DENSE_STEPS, sampler)
    highest = float(dense[0])
    # Some schedulers start lower with few steps, where a start at alpha was asked for; and those that pick from the
    # model's noise levels repeat some where there are more steps than levels.
    descends = bool((full[1:] < full[:-1]).all())
    if alpha >= highest and abs(float(full[0]) - highest) < 1e-3 and descends:
        return full
    return resample_below(dense, min(alpha, highest), steps)


def last_steps(model: Any, scheduler: str, steps: int, k: int, *, sampler: str = "euler") -> Tensor:
    """The sigmas of the last `k` of `steps` steps, `(k + 1,)` (U 3.3).

    Raises:
        ValueError: the model is no flow model, or k exceeds the steps.
    """
    if not 0 <= k <= steps:
        raise ValueError(f"k is {k}, expected 0 to {steps}, the number of steps: lower k or raise steps")
    return partial_schedule(model, scheduler, steps, 1.0, sampler=sampler)[-(k + 1) :]


class PartialSigmas(io.ComfyNode):
    """Sigmas of a run that starts from a partly noised latent."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRPartialSigmas",
            display_name="Partial Sigmas",
            category="GVR",
            description="Exact noise levels [alpha ... 0] for flow models. KSampler's denoise is something else: "
            "0.35 with Wan's shift 8 starts at 81 % noise. Connect the latent to refine to the sampler, with noise "
            "on.",
            search_aliases=["denoise", "SDEdit", "img2img", "refine"],
            inputs=[
                io.Model.Input(
                    "model", tooltip="A flow model (Wan, HunyuanVideo, a cascade); its shift shapes the steps."
                ),
                scheduler_input("How the steps are spread below alpha."),
                steps_input(20, "Steps between alpha and 0, 1 to 10000."),
                io.Float.Input(
                    "alpha",
                    default=0.35,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of noise at the start, 0.01 to 1. 0.3 to 0.4 redraws detail and keeps the content.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, model: Any, scheduler: str, steps: int, alpha: float) -> io.NodeOutput:
        return io.NodeOutput(partial_schedule(model, scheduler, steps, alpha))


class DetailAwareSigmas(io.ComfyNode):
    """Sigmas of equal detail gain, from the checkpoint's table (S 4.3 turned round)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="GVRDetailAwareSigmas",
            display_name="Detail-Aware Sigmas",
            category="GVR",
            description="Noise levels on which every step gains the same share of detail, from the table that was "
            "measured for the checkpoint. The shift of the model is not applied to them.",
            search_aliases=["scheduler", "SimpleGVR"],
            inputs=[
                io.Model.Input("model", tooltip="A cascade whose checkpoint has a detail table."),
                steps_input(50, "Steps, 1 to 10000."),
                io.Float.Input(
                    "start",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of noise at the start, 0.01 to 1; 1 is pure noise.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, model: Any, steps: int, start: float) -> io.NodeOutput:
        table = cascade_of(model).header.statistics.get("detail_table")
        if table is None:
            raise ValueError(
                "this checkpoint has no detail table: use another scheduler, or measure the table when training a "
                "cascade"
            )
        return io.NodeOutput(make_sigmas(steps, start=start, table=DetailTable.from_dict(table)))
