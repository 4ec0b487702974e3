"""The quality protocol: what each way to a high-resolution clip gives on clips the training has not seen.

Clip: the first 17 frames at short side 384, centre crop 256 x 256; that is the original. Halved by area averaging and
encoded it is the low-resolution latent, which is all that the cascade sees.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from gvr_core.cascade import Cascade, denoise, upsample
from gvr_core.coding import decode_frames, encode_frames
from gvr_core.comparison import comparison_sheet
from gvr_core.geometry import plan_upscale
from gvr_core.metrics import laplacian_energy, psnr, ssim, temporal_flicker
from gvr_core.models.upsampler import bilinear
from gvr_core.picture_files import write_picture
from gvr_core.video import VideoReader

from .data import resize_short_side

SHORT_SIDE, CROP, FRAMES = 384, 256, 17
DECODE_BICUBIC, UPSAMPLER, CASCADE = "decode, then bicubic", "learned upsampler", "cascade"


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


def candidates(cascade: Cascade, original: np.ndarray, *, seed: int) -> dict[str, np.ndarray]:
    """Every row of the table: name -> uint8 `17 256 256 3`."""
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

    return {
        "VAE reconstruction of the original": decode(encode_frames(vae, [original], space, device)[0]),
        DECODE_BICUBIC: resize(decode(low_latent, CROP // 2), CROP, cv2.INTER_CUBIC),
        "bilinear in latent, decoded": decode(bilinear(low_latent, **grid)),
        "pixel route (decode, bilinear, encode, decode)": decode(upsample(low_latent, plan, route="pixel", vae=vae)),
        UPSAMPLER: decode(upsampled),
        "one evaluation (denoised)": decode(estimates[0]),
        CASCADE: decode(result),
        "bicubic of the low-resolution pixels": resize(low, CROP, cv2.INTER_CUBIC),
    }


def measure(clip: np.ndarray, original: np.ndarray) -> dict[str, float]:
    """PSNR in dB, SSIM, and Laplacian energy and flicker as shares of the original's."""
    return {
        "psnr": psnr(clip, original),
        "ssim": ssim(clip, original),
        "energy": laplacian_energy(clip) / laplacian_energy(original),
        "flicker": temporal_flicker(clip) / temporal_flicker(original),
    }


def evaluate(
    cascade: Cascade,
    clips: list[Path],
    *,
    seed: int = 0,
    on_clip: Callable[[Path, dict[str, np.ndarray]], None] | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """The table: row -> clip name (and "mean") -> figures."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for path in clips:
        original = protocol_clip(path)
        rows = candidates(cascade, original, seed=seed)
        for name, clip in rows.items():
            table.setdefault(name, {})[path.stem] = measure(clip, original)
        if on_clip:
            on_clip(path, {"original": original, **rows})
    for columns in table.values():
        values = list(columns.values())
        columns["mean"] = {key: float(np.mean([v[key] for v in values])) for key in values[0]}
    return table


def format_table(table: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown: a row per way, a column per clip with PSNR / SSIM / energy / flicker."""
    clips = ["mean", *(name for name in next(iter(table.values())) if name != "mean")]
    lines = [
        "| PSNR dB / SSIM / Laplacian energy / flicker | " + " | ".join(clips) + " |",
        "|---" * (len(clips) + 1) + "|",
    ]
    for name, columns in table.items():
        cells = [
            f"{c['psnr']:.2f} / {c['ssim']:.3f} / {c['energy']:.2f} / {c['flicker']:.2f}"
            for c in (columns[k] for k in clips)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_sheet(path: Path, clips: dict[str, np.ndarray]) -> None:
    """A comparison picture of the middle frame: what a user has without us, our two stages, the original."""
    shown = [DECODE_BICUBIC, UPSAMPLER, CASCADE, "original"]
    sheet = comparison_sheet(
        [(name, clips[name][FRAMES // 2]) for name in shown], reference=clips["original"][FRAMES // 2]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, sheet)
