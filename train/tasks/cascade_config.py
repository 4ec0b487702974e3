"""What the cascade's task is told beside the data: objective and model sections."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..timesteps import TimestepConfig

ROUTES = ("latent", "pixel")


@dataclass(frozen=True, kw_only=True)
class CascadeObjective:
    """The frozen parts and what is drawn for each sample.

    Attributes:
        vae: checkpoint with the VAE that encodes clips and references ("nano" for the bundled one); "" where the data
            are latents already (`pairs`).
        upsampler: checkpoint with a frozen upsampler ("nano" for the bundled one); "" where the model trains its own
            or the route is "pixel".
        route: how the low-resolution video reaches the high-resolution grid: "latent" (S 4.1) or "pixel" (U 3.2).
        timesteps: the sampler of sigma.
        noise_aug: lowest and highest noise augmentation tau (S: 0.3 to 0.6, U: 0.2 to 0.6).
        noise_aug_power: tau = low + (high - low) * u ** power, u uniform; above 1 prefers low levels (ours).
        drop_text: share of samples whose prompt is replaced by the empty one (S, U: 0.1).
    """

    vae: str = ""
    upsampler: str = ""
    route: str = "latent"
    timesteps: TimestepConfig = field(default_factory=TimestepConfig)
    noise_aug: tuple[float, ...] = (0.3, 0.6)
    noise_aug_power: float = 1.0
    drop_text: float = 0.1

    def __post_init__(self) -> None:
        if len(self.noise_aug) != 2 or not 0 <= self.noise_aug[0] <= self.noise_aug[1] < 1:
            raise ValueError(f"objective.noise_aug is {list(self.noise_aug)}, expected [low, high] within [0, 1)")
        if self.noise_aug_power <= 0 or not 0 <= self.drop_text <= 1:
            raise ValueError(
                f"objective has noise_aug_power {self.noise_aug_power} and drop_text {self.drop_text}, expected the "
                "first above 0, the second in [0, 1]"
            )
        if self.route not in ROUTES:
            raise ValueError(f"objective.route is {self.route!r}, expected one of {', '.join(ROUTES)}")
        if self.route == "pixel" and self.upsampler:
            raise ValueError("objective.route is pixel, which has no upsampler: leave objective.upsampler empty")
