"""One upscaling job from file to file: encode, upsample, denoise, decode and write, a few frames at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..cascade import Cascade, Conditions, denoise, upsample
from ..coding import decode_frames
from ..comparison import comparison_sheet
from ..geometry import UpscalePlan, plan_upscale
from ..latent_files import LatentFile, write_latent
from ..latent_values import NormalizedVAE, denormalize
from ..picture_files import write_picture
from ..video import VideoWriter, check_writable
from .progress import Progress
from .references import encode_references
from .source import Source, is_latent, open_source
from .targets import check_file, keep_inputs

log = logging.getLogger("gvr")

LATENT_TARGETS = (".latent", ".safetensors")


@dataclass(frozen=True, kw_only=True)
class UpscaleRequest:
    """What to do. `overrides` are `Cascade.settings` arguments; None there is the checkpoint's own value."""

    source: Path
    target: Path
    scale: float | None = 2.0
    height: int | None = None
    upsampler: str = "latent"
    seed: int = 0
    overrides: dict[str, Any] = field(default_factory=dict)
    references: tuple[Path, ...] = ()
    reference_video: Path | None = None
    context: Path | None = None
    fps: Fraction | None = None
    compare: Path | None = None


class Job:
    """Runs a request on a cascade. Everything the user can mend is a `ValueError` before the long work starts."""

    def __init__(self, cascade: Cascade, request: UpscaleRequest, progress: Progress) -> None:
        # A cascade works on normalised latents, autoencoders and files hold raw values.
        vae = None if cascade.vae is None else NormalizedVAE(cascade.vae, cascade.space.name)
        self.cascade, self.request, self.progress = replace(cascade, vae=vae), request, progress
        self.seconds: dict[str, float] = {}

    def run(self) -> dict[str, Any]:
        """Do it; returns a report of plain values."""
        request, cascade = self.request, self.cascade
        settings = cascade.settings(seed=request.seed, **request.overrides)
        to_latent = self._check_target()
        source = open_source(request.source, cascade.space, vae=cascade.vae, device=cascade.device, fps=request.fps)
        plan = plan_upscale(
            cascade.space,
            source.height,
            source.width,
            scale=request.scale,
            target_height=request.height,
            patch=cascade.dit.config.patch_size[-1],
        )
        writer = None if to_latent else self._writer(source, plan)
        self._warn_outside_training(plan, settings.noise_aug)
        context = self._context()
        references = encode_references(cascade, request.references, request.reference_video, plan)

        latent = self._timed("encode", lambda: source.encode(self.progress))
        cascade.check_latent(latent)
        with torch.inference_mode():
            upsampled = self._timed(
                "upsample",
                lambda: upsample(latent, plan, route=request.upsampler, upsampler=cascade.upsampler, vae=cascade.vae),
            )
        conditions = Conditions(
            text=context.get("positive"),
            null_text=context.get("negative"),
            references=references.latents,
            reference_times=references.times(latent.shape[2]),
        )
        self.progress.phase("denoise", settings.num_steps, "step")
        result = self._timed(
            "denoise",
            lambda: denoise(cascade.dit, upsampled, settings, conditions, lambda *_: self.progress.advance()),
        )
        frames = source.frames
        if writer is None:
            file = LatentFile(
                latent=denormalize(result, cascade.space.name).cpu(),
                space=cascade.space.name,
                frames=frames,
                fps=source.fps,
                height=plan.height,
                width=plan.width,
            )
            write_latent(request.target, file)
            shown = self._decode_middle(result, source, plan) if request.compare else None
        else:
            shown = self._timed("decode", lambda: self._write(writer, result, source, plan))
        if request.compare:
            self._write_comparison(source.frame(frames // 2), shown)
        self.progress.close()
        return {
            "input": {"path": str(request.source), "frames": frames, "width": source.width, "height": source.height},
            "output": {"path": str(request.target), "frames": frames, "width": plan.width, "height": plan.height},
            "settings": {
                "num_steps": settings.num_steps,
                "solver": settings.solver,
                "shift": settings.shift,
                "start": settings.start,
                "noise_aug": settings.noise_aug,
                "seed": settings.seed,
                "upsampler": request.upsampler,
            },
            "phases": {name: round(value, 3) for name, value in self.seconds.items()},
        }

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        self.seconds[name] = time.perf_counter() - started
        return result

    def _check_target(self) -> bool:
        request = self.request
        to_latent = request.target.suffix.lower() in LATENT_TARGETS
        keep_inputs(
            (request.target, request.compare),
            (request.source, *request.references, request.reference_video, request.context),
        )
        if request.compare:
            if request.compare.suffix.lower() != ".png":
                raise ValueError(f"cannot write the comparison {request.compare}: give a name ending in .png")
            check_file(request.compare)
        if to_latent:
            check_file(request.target)
        else:
            check_writable(request.target)
        if self.cascade.vae is None and (request.compare or not (to_latent and is_latent(request.source))):
            raise ValueError(
                "this checkpoint has no VAE inside: give a latent file and write a latent file, without --compare"
            )
        return to_latent

    def _warn_outside_training(self, plan: UpscalePlan, noise_aug: float) -> None:
        inference = self.cascade.header.inference
        has_references = bool(self.request.references or self.request.reference_video)
        run = {"scale": plan.scale, "noise_aug": noise_aug, "upsampler": self.request.upsampler}
        for note in inference.outside_training(**run, has_references=has_references):
            log.warning("%s", note)

    def _context(self) -> dict[str, Tensor]:
        text_dim = self.cascade.dit.config.text_dim
        if not text_dim:
            if self.request.context or self.request.overrides.get("s_txt"):
                raise ValueError(
                    "this checkpoint is class-free, it was trained without text: leave out --context and --s-txt"
                )
            return {}
        if self.request.context is None:
            raise ValueError(
                "this checkpoint needs encoded prompts: add --context FILE.safetensors (positive, negative)"
            )
        try:
            tensors = load_file(self.request.context)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"cannot read the context {self.request.context}: {error}") from error
        if set(tensors) != {"positive", "negative"}:
            raise ValueError(f"{self.request.context} holds {sorted(tensors)}, expected positive and negative")
        return {name: t.to(self.cascade.dit.patch_embedding.weight) for name, t in tensors.items()}

    def _frames(self, latent: Tensor, source: Source, plan: UpscalePlan) -> Iterator[np.ndarray]:
        return decode_frames(self.cascade.vae, latent, frames=source.frames, height=plan.height, width=plan.width)

    def _writer(self, source: Source, plan: UpscalePlan) -> VideoWriter:
        return VideoWriter(
            self.request.target, width=plan.width, height=plan.height, fps=source.fps, audio_from=source.audio
        )

    def _write(self, writer: VideoWriter, latent: Tensor, source: Source, plan: UpscalePlan) -> np.ndarray:
        """Decode and write everything; returns the middle frame."""
        self.progress.phase("decode", source.frames, "frame")
        left = source.frames // 2
        with writer:
            for frames in self._frames(latent, source, plan):
                writer.write(frames)
                self.progress.advance(len(frames))
                if 0 <= left < len(frames):
                    shown = frames[left].copy()
                left -= len(frames)
        return shown

    def _decode_middle(self, latent: Tensor, source: Source, plan: UpscalePlan) -> np.ndarray:
        """The middle frame; nothing after it is decoded."""
        left = source.frames // 2
        for frames in self._frames(latent, source, plan):
            if left < len(frames):
                return frames[left]
            left -= len(frames)
        raise ValueError("the latent has fewer frames than its source")

    def _write_comparison(self, before: np.ndarray, after: np.ndarray) -> None:
        size = (after.shape[1], after.shape[0])
        sheet = comparison_sheet(
            [
                ("input", cv2.resize(before, size, interpolation=cv2.INTER_NEAREST)),
                ("bilinear", cv2.resize(before, size, interpolation=cv2.INTER_LINEAR)),
                ("GVR", after),
            ]
        )
        write_picture(self.request.compare, sheet)
