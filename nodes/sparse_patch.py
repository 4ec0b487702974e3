"""Sparse local attention inside ComfyUI's own Wan and HunyuanVideo models, and in our cascades, while they are sampled.

Three wrappers: around a run, which says in the log what was done; around each evaluation, which decides whether it is
sparse; and around the diffusion model, which puts the patch into a copy of the call's transformer_options. So nothing
stays behind, and a removed patch leaves no trace. Only the last one is inside of what torch.compile compiles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..gvr_core.attention import AttentionConfig
from . import host
from .model import ATTENTION, CascadeDiT
from .model_calls import VideoLayout, find_options, read_layout, replace_argument
from .patched_call import CascadeCall, PatchedCall
from .sparse_report import Note, Report
from .text_mask import OpenText, read_text_mask

KEY = "gvr_sparse_attention"
"""Of the wrappers, and of transformer_options: the `PatchedCall` that another node of ours has put there."""
LEAST_EXTRA, MOST_EXTRA = 2**28, 2**30
"""Bounds in bytes of the memory that one attention call may take for copies."""
FORWARDS = ("forward", "_forward", "forward_orig")
"""Methods of the host's models that other packs put their own in place of."""
FREE_SHARE = 4
"""A call may take one part in so many of the memory that is free."""


@dataclass(eq=False)
class Evaluation:
    """One call of `apply_model`.

    Attributes:
        layout: of the video's tokens; None where attention stays dense.
        extra_bytes: memory that one attention call may take for copies.
        opened: the text tokens that the mask among the model's inputs lets through, if it does no more.
        notes: of what happened.
    """

    layout: VideoLayout | None
    extra_bytes: int = LEAST_EXTRA
    opened: OpenText | None = None
    notes: list[Note] = field(default_factory=list)


@dataclass(eq=False)
class SparsePatch:
    """The wrappers of one node.

    Attributes:
        config: form of the attention.
        start_percent: it acts from this share of the run on.
        end_percent: and up to this one.
        min_tokens: shorter videos stay dense.
        report: of the run that is under way.
        extra_bytes: of the run, None before its first evaluation.
        evaluation: the one that is under way.
    """

    config: AttentionConfig
    start_percent: float
    end_percent: float
    min_tokens: int
    report: Report = field(default_factory=Report)
    extra_bytes: int | None = None
    evaluation: Evaluation | None = None

    def apply(self, model: Any) -> Any:
        """A clone of a MODEL with the patch."""
        clone = host.with_diffusion_model_wrapper(model, KEY, self)
        host.with_evaluation_wrapper(clone, KEY, self.around_evaluation)
        host.with_run_wrapper(clone, KEY, self.around_run)
        return clone

    def around_run(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        """Samples, and says afterwards what was done; a run that is stopped or fails says nothing."""
        before, self.report, self.extra_bytes = self.report, Report(), None
        try:
            result = executor(*args, **kwargs)
            self.report.say(self.start_percent, self.end_percent)
        finally:
            self.report = before
        return result

    def around_evaluation(self, executor: Any, x: Tensor, sigma: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Evaluates the model, after deciding whether that is to be sparse."""
        owner = executor.class_obj
        # A compiled model hides the real one.
        model = getattr(owner.diffusion_model, "_orig_mod", owner.diffusion_model)
        before, self.evaluation = self.evaluation, self._begin(owner, model, x, sigma, kwargs)
        try:
            return executor(x, sigma, *args, **kwargs)
        finally:
            done, self.evaluation = self.evaluation, before
            self.report.add(done.notes, self.config, None if done.layout is None else done.layout.grid)

    def _begin(self, owner: Any, model: Any, x: Tensor, sigma: Tensor, values: dict[str, Any]) -> Evaluation:
        self.report.name = type(model).__name__
        # Python finds a class's own methods elsewhere: here is only what somebody has put on this one model.
        self.report.replaced = tuple(name for name in FORWARDS if name in vars(model))
        self.report.calls += 1
        if not self._is_inside(owner, sigma):
            return Evaluation(None)
        self.report.inside += 1
        layout, notes = read_layout(model, x, values), []
        if layout is None:
            notes.append(Note("kind"))
            is_picture = x.ndim == 4
            kind = (
                "it samples a picture, not a video" if is_picture else f"{self.report.name} is no Wan or HunyuanVideo"
            )
            self.report.details["kind"] = kind
        elif layout.video_length < self.min_tokens:
            notes.append(Note("short"))
            self.report.details["short"] = f"{layout.video_length} tokens are fewer than min_tokens, {self.min_tokens}"
            layout = None
        if self.extra_bytes is None:
            self.extra_bytes = extra_bytes(host.unused_memory(x.device))
        mask = values.get("attention_mask")
        return Evaluation(layout, self.extra_bytes, None if mask is None else read_text_mask(mask), notes)

    def _is_inside(self, owner: Any, sigma: Tensor) -> bool:
        """Whether an evaluation lies between the percents, by the noise levels of the model as it is sampled now."""
        if self.start_percent == 0.0 and self.end_percent == 1.0:
            return True
        level = float(sigma.flatten()[0])
        # Rounding may leave the first sigma of a run a little above the highest there should be.
        is_late = self.start_percent == 0.0 or level <= host.percent_to_sigma(owner, self.start_percent)
        return is_late and level >= host.percent_to_sigma(owner, self.end_percent)

    def __call__(self, executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Calls the diffusion model, with sparse attention where it is to be."""
        evaluation, model, options = self.evaluation, executor.class_obj, find_options(args, kwargs)
        if evaluation is None or evaluation.layout is None:
            return executor(*args, **kwargs)
        if options is None:
            evaluation.notes.append(Note("options"))
            return executor(*args, **kwargs)
        changed, covered, other = {**options}, options.get(KEY), options.get(host.OVERRIDE)
        if covered is not None:
            covered.is_covered, other = True, covered.other
        if isinstance(model, CascadeDiT):
            call = CascadeCall(self.config, len(model.blocks), other)
            changed[KEY], changed[ATTENTION] = call, self.config
        else:
            call = PatchedCall(self.config, evaluation.layout, evaluation.extra_bytes, other, evaluation.opened)
            changed[KEY], changed[host.OVERRIDE] = call, call.override
            changed["patches_replace"] = call.replace_blocks(model, options.get("patches_replace", {}))
        args, kwargs = replace_argument(args, kwargs, options, changed)
        out = executor(*args, **kwargs)
        evaluation.notes.extend(call.finish())
        return out


def extra_bytes(free: int) -> int:
    """Memory that one attention call may take for copies: a share of what is free, as a power of two.

    It is written into compiled code, which a number that changed from run to run would make anew every time.
    """
    share = max(LEAST_EXTRA, min(MOST_EXTRA, free // FREE_SHARE))
    return 1 << (share.bit_length() - 1)
