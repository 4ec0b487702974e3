"""The cascade: low-resolution latent -> upsample -> noise -> denoise -> high-resolution latent (S 3, U 3.2).

Framework-free: nodes, the command line and validation call these functions. Nothing is decoded on the way; pixels exist
only where a video goes in or out (`coding`) and, on request, in the `pixel` upsampler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from . import flow
from .checkpoints import Header, load_part, read_cascade_header
from .coding import VideoVAE, reencode_enlarged
from .geometry import LatentSpace, UpscalePlan, latent_space
from .guidance import MultiGuidance, guided
from .models.dit import TIMESTEPS, DiT
from .models.upsampler import LatentUpsampler, bilinear
from .models.vae import NanoVAE
from .noise import CONDITION, SAMPLING, check_seed, frame_noise
from .schedules import DetailTable, make_sigmas
from .solvers import SOLVERS

UPSAMPLERS = ("latent", "pixel")
WEIGHTS = Path(__file__).parent / "weights"
Callback = Callable[[int, int, Tensor], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One run. Ranges as in `make_sigmas` and `MultiGuidance`.

    Attributes:
        num_steps: steps of the solver.
        solver: "euler" or "pndm".
        shift: of the sigma schedule.
        start: first sigma; below 1 denoising starts from the partly noised condition instead of pure noise.
        noise_aug: tau in [0, 1), noise augmentation of the condition: low = faithful, high = more restoration.
        seed: of all noise.
        guidance: scales of the multi-condition guidance.
        table: detail gains, for the detail-aware schedule; None for the uniform one.
    """

    num_steps: int
    solver: str
    shift: float
    start: float
    noise_aug: float
    seed: int
    guidance: MultiGuidance
    table: DetailTable | None = None

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"unknown solver {self.solver!r}, expected one of {', '.join(SOLVERS)}")
        if not 0 <= self.noise_aug < 1:
            raise ValueError(f"noise augmentation is {self.noise_aug}, expected 0 (none) to below 1 (nothing left)")
        check_seed(self.seed)
        make_sigmas(self.num_steps, shift=self.shift, start=self.start)  # its errors, before any work
        self.guidance.validate(self.num_steps)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What guides a run besides the low-resolution latent.

    Attributes:
        text: encoded prompt `b n d`, None for a class-free model or a run without a prompt.
        null_text: encoded empty prompt `b n d`; needed by a model with text.
        references: clean latents `b c r h w` on the target's grid.
        reference_times: their RoPE time indices.
    """

    text: Tensor | None = None
    null_text: Tensor | None = None
    references: Tensor | None = None
    reference_times: Sequence[int] = ()


def upsample(
    latent: Tensor,
    plan: UpscalePlan,
    *,
    route: str = "latent",
    upsampler: LatentUpsampler | None = None,
    vae: VideoVAE | None = None,
) -> Tensor:
    """The low-resolution latent on the high-resolution grid: the condition before noise.

    Args:
        latent: `b c t h w`.
        plan: sizes of the result.
        route: "latent" (S 4.1: the learned upsampler, plain bilinear without one) or "pixel" (U 3.2: decode, bilinear
            in pixels, encode).
        upsampler: for the latent route.
        vae: for the pixel route.

    Returns:
        `b c t latent_height latent_width` of the plan.

    Raises:
        ValueError: unknown route, a pixel route without a VAE, or a latent that is not finite.
    """
    if not torch.isfinite(latent).all():
        raise ValueError("latent holds values that are not finite (NaN or infinity): the model before it has failed")
    if route == "latent":
        enlarge = bilinear if upsampler is None else upsampler
        return enlarge(latent, scale=plan.scale, height=plan.latent_height, width=plan.latent_width)
    if route == "pixel":
        if vae is None:
            raise ValueError("the pixel upsampler needs a VAE: choose upsampler latent, or give the VAE")
        return reencode_enlarged(vae, latent, plan)
    raise ValueError(f"unknown upsampler {route!r}, expected one of {', '.join(UPSAMPLERS)}")


def augment(condition: Tensor, *, noise_aug: float, seed: int) -> Tensor:
    """Noise augmentation `(1 - tau) c + tau eps_c` (S 4.1); the result stays fixed for the whole run."""
    if noise_aug == 0:
        return condition
    return flow.interpolate(condition, frame_noise(condition, seed=seed, purpose=CONDITION), noise_aug)


def denoise(
    dit: DiT,
    upsampled: Tensor,
    settings: Settings,
    conditions: Conditions | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Noise the condition, then denoise a high-resolution latent from noise under it.

    Args:
        dit: the cascade's transformer.
        upsampled: the condition before noise, `b c t h w`.
        settings: the run.
        conditions: text and references; None for neither.
        callback: called after each step as (step, num_steps, denoised); may raise to interrupt.

    Returns:
        `b c t h w`, float32.

    Raises:
        ValueError: settings or conditions that do not fit.
    """
    conditions = conditions or Conditions()
    has_references = conditions.references is not None
    weight = dit.patch_embedding.weight
    upsampled = upsampled.float()
    condition = augment(upsampled, noise_aug=settings.noise_aug, seed=settings.seed).to(weight)
    references = conditions.references.to(weight) if has_references else None
    sigmas = make_sigmas(settings.num_steps, shift=settings.shift, start=settings.start, table=settings.table)
    noise = frame_noise(upsampled, seed=settings.seed, purpose=SAMPLING)
    x = flow.interpolate(upsampled, noise, settings.start)

    def model(x: Tensor, sigma: float, step: int) -> Tensor:
        def predict(text: bool, use_references: bool) -> Tensor:
            return dit(
                x.to(weight.dtype),
                TIMESTEPS * sigma,
                conditions.text if text else conditions.null_text,
                condition=condition,
                noise_level=settings.noise_aug,
                references=references if use_references else None,
                reference_times=conditions.reference_times if use_references else (),
            ).float()

        return guided(
            predict,
            settings.guidance,
            step,
            has_text=conditions.text is not None,
            has_references=has_references,
        )

    with torch.inference_mode():
        return SOLVERS[settings.solver](model, x, sigmas, callback)


@dataclass(frozen=True, eq=False)
class Cascade:
    """A checkpoint ready to run; the VAE and the upsampler are there if the file holds them."""

    header: Header
    dit: DiT
    upsampler: LatentUpsampler | None
    vae: NanoVAE | None

    @classmethod
    def load(cls, path: Path | str, *, device: torch.device | str = "cpu") -> Cascade:
        """Load every part of a checkpoint.

        Raises:
            ValueError: as `read_cascade_header` and `load_part`.
        """
        header = read_cascade_header(path)
        parts: dict[str, nn.Module] = {name: load_part(path, name).to(device) for name in header.parts}
        return cls(header, parts["dit"], parts.get("upsampler"), parts.get("vae"))

    @classmethod
    def nano(cls, *, device: torch.device | str = "cpu") -> Cascade:
        """The embedded default (`weights/nano`, with its model card)."""
        return cls.load(nano_path(), device=device)

    @property
    def space(self) -> LatentSpace:
        """The latent space it works in."""
        return latent_space(self.header.space)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.dit.patch_embedding.weight.device

    def check_latent(self, latent: Tensor) -> None:
        """Raises ValueError for a latent of another space than the cascade's."""
        if latent.shape[1] != self.space.channels:
            raise ValueError(
                f"latent has {latent.shape[1]} channels, this cascade works in latent space {self.space.name} with "
                f"{self.space.channels}: use a cascade made for the model the latent comes from"
            )

    def settings(self, *, seed: int = 0, **overrides: float | str | None) -> Settings:
        """The checkpoint's own settings, with whatever of `overrides` is not None in their place.

        Args:
            seed: of all noise.
            overrides: fields of `Settings` and of `MultiGuidance`. Without n_ref the reference guidance acts for the
                share of the steps it has in U (15 of 50).
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        inference = self.header.inference
        values = {
            n: given.pop(n, getattr(inference, n)) for n in ("num_steps", "solver", "shift", "start", "noise_aug")
        }
        given.setdefault("n_ref", max(0, round(0.3 * values["num_steps"])))
        return Settings(seed=seed, guidance=MultiGuidance(**given), **values)


def nano_path() -> Path:
    """The file of the embedded default."""
    return WEIGHTS / "nano" / "nano.safetensors"
