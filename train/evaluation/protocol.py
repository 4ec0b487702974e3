"""The quality protocol: what each way to a high-resolution clip gives on clips the training has not seen.

Clip: the first 17 frames at short side 384, centre crop 256 x 256; that is the original. Halved by area averaging and
encoded it is the low-resolution latent, which is all that the cascade sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from gvr_core.cascade import Cascade, Conditions, denoise, upsample
from gvr_core.coding import decode_frames, encode_frames
from gvr_core.comparison import comparison_sheet
from gvr_core.geometry import UpscalePlan, plan_upscale
from gvr_core.models.upsampler import bilinear
from gvr_core.picture_files import write_picture
from gvr_core.references import fit_reference, time_indices
from gvr_core.video import VideoReader

from ..data import resize_short_side
from .metric import Metric, Sample, measure_all
from .registry import STANDARD, Tools, resolve_metrics
from .table import Table

SHORT_SIDE, CROP, FRAMES = 384, 256, 17
DECODE_BICUBIC, UPSAMPLER, CASCADE = "decode, then bicubic", "learned upsampler", "cascade"
WITH_REFERENCES, ORIGINAL = "cascade with references", "original"


def protocol_clip(path: Path) -> np.ndarray:
    """The original of the protocol, uint8 `17 256 256 3`.

    Raises:
        ValueError: the clip is shorter than 17 frames, or smaller than the crop after resizing.
    """
    frames = []
    with VideoReader(path) as reader:
        for frame in reader:
            frames.append(resize_short_side(frame, SHORT_SIDE))
            if len(frames) == FRAMES:
                break
    if len(frames) < FRAMES:
        raise ValueError(f"{path} has {len(frames)} frames, the protocol needs {FRAMES}: choose a longer clip")
    clip = np.stack(frames)
    top, left = ((n - CROP) // 2 for n in clip.shape[1:3])
    return np.ascontiguousarray(clip[:, top : top + CROP, left : left + CROP])


def resize(clip: np.ndarray, side: int, interpolation: int) -> np.ndarray:
    """uint8 `t h w 3` with both sides `side` pixels."""
    return np.stack([cv2.resize(frame, (side, side), interpolation=interpolation) for frame in clip])


def candidates(
    cascade: Cascade,
    original: np.ndarray,
    *,
    seed: int,
    references: Sequence[np.ndarray] = (),
    baselines: bool = True,
) -> dict[str, np.ndarray]:
    """Every row of the table: name -> uint8 `17 256 256 3`.

    Args:
        cascade: with a VAE inside.
        original: uint8 `17 256 256 3`.
        seed: of the cascade's noise.
        references: ID pictures, `h w 3` uint8; with some there is one more row, the cascade guided by them.
        baselines: whether the ways without the transformer are among the rows.
    """
    space, vae, device = cascade.space, cascade.vae, cascade.device
    low = resize(original, CROP // 2, cv2.INTER_AREA)
    low_latent, _ = encode_frames(vae, [low], space, device)
    plan = plan_upscale(space, CROP // 2, CROP // 2, scale=2.0)
    grid = {"scale": plan.scale, "height": plan.latent_height, "width": plan.latent_width}
    upsampled = upsample(low_latent, plan, upsampler=cascade.upsampler)
    settings = cascade.settings(seed=seed)
    estimates: list[Tensor] = []
    result = denoise(cascade.dit, upsampled, settings, callback=lambda step, steps, x: estimates.append(x))

    def decode(latent: Tensor, side: int = CROP) -> np.ndarray:
        return np.concatenate(list(decode_frames(vae, latent, frames=FRAMES, height=side, width=side)))

    rows: dict[str, np.ndarray] = {}
    if baselines:
        rows |= {
            "VAE reconstruction of the original": decode(encode_frames(vae, [original], space, device)[0]),
            DECODE_BICUBIC: resize(decode(low_latent, CROP // 2), CROP, cv2.INTER_CUBIC),
            "bilinear in latent, decoded": decode(bilinear(low_latent, **grid)),
            "pixel route (decode, bilinear, encode, decode)": decode(
                upsample(low_latent, plan, route="pixel", vae=vae)
            ),
        }
    rows |= {
        UPSAMPLER: decode(upsampled),
        "one evaluation (denoised)": decode(estimates[0]),
        CASCADE: decode(result),
    }
    if references:
        conditions = encode_pictures(cascade, references, plan, target_frames=low_latent.shape[2])
        rows[WITH_REFERENCES] = decode(denoise(cascade.dit, upsampled, settings, conditions))
    if baselines:
        rows["bicubic of the low-resolution pixels"] = resize(low, CROP, cv2.INTER_CUBIC)
    return rows


def encode_pictures(
    cascade: Cascade, pictures: Sequence[np.ndarray], plan: UpscalePlan, *, target_frames: int
) -> Conditions:
    """ID pictures, `h w 3` uint8, as conditions beside a target of `target_frames` latent frames (U 3.2)."""
    times = time_indices(target_frames, len(pictures), 0, cascade.dit.config.reference_ranges)[1]
    latents = []
    for picture in pictures:
        pixels = rearrange(torch.from_numpy(np.ascontiguousarray(picture)), "h w c -> c h w").float()
        fitted = fit_reference(pixels, plan.padded_height, plan.padded_width).round().to(torch.uint8)
        frame = rearrange(fitted, "c h w -> 1 h w c").numpy()
        latents.append(encode_frames(cascade.vae, [frame], cascade.space, cascade.device)[0])
    return Conditions(references=torch.cat(latents, dim=2), reference_times=times)


def evaluate(
    cascade: Cascade,
    clips: Sequence[Path],
    *,
    seed: int = 0,
    metrics: Sequence[Metric] | None = None,
    references: Sequence[np.ndarray] = (),
    reference_frame: int | None = None,
    baselines: bool = True,
    with_original: bool = False,
    on_clip: Callable[[Path, dict[str, np.ndarray]], None] | None = None,
) -> Table:
    """The table of a cascade.

    Args:
        cascade: with a VAE inside.
        clips: videos of at least 17 frames with different names.
        seed: of the cascade's noise.
        metrics: None for the standard four.
        references: ID pictures, `h w 3` uint8, for every clip.
        reference_frame: this frame of each original is an ID picture too.
        baselines: whether the ways without the transformer are among the rows.
        with_original: whether the original is a row, for metrics that need no original.
        on_clip: called after each clip with all pictures of the rows and of the original.

    Raises:
        ValueError: a cascade without a VAE, no such frame, equal names, clips that are too short.
    """
    if cascade.vae is None:
        raise ValueError(
            "this checkpoint has no VAE inside, the protocol needs it: export it with --include VAE.safetensors"
        )
    if reference_frame is not None and not 0 <= reference_frame < FRAMES:
        raise ValueError(f"reference frame is {reference_frame}, the protocol's clips have frames 0 to {FRAMES - 1}")
    check_names(clips)
    metrics = resolve_metrics(STANDARD, Tools())[0] if metrics is None else metrics
    table = Table([metric.column for metric in metrics])
    for path in clips:
        original = protocol_clip(path)
        pictures = [*references, *([] if reference_frame is None else [original[reference_frame]])]
        rows = candidates(cascade, original, seed=seed, references=pictures, baselines=baselines)
        for name, clip in rows.items():
            sample = Sample(clip=clip, original=original, references=pictures)
            table.rows.setdefault(name, {})[path.stem] = measure_all(sample, metrics)
        if with_original:
            sample = Sample(clip=original, references=pictures, is_original=True)
            table.rows.setdefault(ORIGINAL, {})[path.stem] = measure_all(sample, metrics)
        if on_clip:
            on_clip(path, {ORIGINAL: original, **rows})
    return table


def check_names(clips: Sequence[Path]) -> None:
    """Raises ValueError if two clips have one name."""
    seen: dict[str, Path] = {}
    for path in clips:
        if path.stem in seen:
            raise ValueError(f"{seen[path.stem]} and {path} have one name, and the table names clips: rename one")
        seen[path.stem] = path


def write_sheet(path: Path, clips: dict[str, np.ndarray]) -> None:
    """A comparison picture of the middle frame: what a user has without us, our two stages, the original."""
    shown = [name for name in (DECODE_BICUBIC, UPSAMPLER, CASCADE, WITH_REFERENCES, ORIGINAL) if name in clips]
    sheet = comparison_sheet(
        [(name, clips[name][FRAMES // 2]) for name in shown], reference=clips[ORIGINAL][FRAMES // 2]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, sheet)
