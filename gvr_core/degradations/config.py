"""What each degradation does, as values that can be stored with the pairs it made.

The papers give no number for the flow-based and the one-order degradation; every default here is "ours" unless said.
Lengths are pixels of a frame whose short side has 512 and grow with the frame (`REFERENCE_SIDE`). A pair (low, high)
is the range that a value is drawn from, uniformly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .settings import Settings, number

REFERENCE_SIDE = 512
"""Short side of the frame that lengths in the configs are meant for."""


@dataclass(frozen=True, kw_only=True)
class FlowDegradation(Settings):
    """Flow-based degradation (S 4.2.1): what moves is smeared with colours of the frame before, then blurred.

    Attributes:
        strength: Weight of a colour at the centre of its ellipse, 0 to 1; each ellipse draws from half of it to all.
        ellipses: Ellipses in a frame that moves all over, 0 to 4000; otherwise in proportion to the moving area.
        ellipse_size: Half the long axis, pixels.
        ellipse_shape: Short axis divided by the long one, which follows the motion.
        angle_jitter: Standard deviation of the angle between motion and long axis, degrees.
        samples: Pixels of the previous frame that are mixed to one colour; few leave neighbouring ellipses different.
        threshold: Least motion that counts, pixels per frame.
        dilation: How far the moving region grows, pixels; effects fade out over this distance.
        least_area: Smaller moving spots are passed over, square pixels.
        blur: Length of the motion blur divided by the motion from frame to frame, 0 (off) to 4.
        longest_blur: Longest blur, pixels.
        full_motion: Motion at which the blurred picture has replaced the sharp one, pixels per frame; below it the two
            are mixed in proportion.
        block: Side of the blocks that have one blur kernel each, pixels; neighbours are interpolated.
        preset: Preset of the optical flow (DIS).
        flow_side: Short side of the picture that the flow is estimated on, pixels; smaller frames are not enlarged.

    Raises:
        ValueError: a field is out of its range.
    """

    strength: float = number(0.7, 0, 1)
    ellipses: int = number(200, 0, 4000)
    ellipse_size: tuple[float, float] = number((6.0, 24.0), 1, 256)
    ellipse_shape: tuple[float, float] = number((0.3, 0.7), 0.05, 1)
    angle_jitter: float = number(15.0, 0, 90)
    samples: int = number(8, 1, 1024)
    threshold: float = number(1.5, 0.1, 64)
    dilation: float = number(8.0, 1, 64)
    least_area: float = number(64.0, 0, 1e5)
    blur: float = number(0.8, 0, 4)
    longest_blur: float = number(24.0, 1, 64)
    full_motion: float = number(4.0, 0.1, 64)
    block: float = number(16.0, 4, 128)
    preset: Literal["ultrafast", "fast", "medium"] = "medium"
    flow_side: int = number(720, 64, 4096)


@dataclass(frozen=True, kw_only=True)
class SyntheticDegradation(Settings):
    """One-order degradation (S 5.1.4, U 3.3): blur, resize, noise, compression; lightly, drawn once for a clip.

    After Real-ESRGAN's first order, with weaker ranges: the output of a T2V model is clean.

    Attributes:
        blur_probability: Of clips that are blurred.
        blur_sigma: Standard deviation of the Gaussian, pixels of the frame after it was made smaller, so that the
            same numbers suit every scale.
        anisotropic_probability: Of blurred clips whose Gaussian has two different axes at any angle.
        scale: Factor that the frame is made smaller by; 1 keeps the size.
        interpolation: How it is made smaller, without aliasing; "any" draws one for each clip.
        restore_size: Bring the result back to the size of the input, bilinearly as U does with its condition.
        noise_probability: Of clips with noise.
        poisson_probability: Of noisy clips whose noise grows with the square root of the brightness, as photons do.
        noise_sigma: Standard deviation of the noise, in steps of 0 to 255; of Poisson noise where the picture is white.
        grey_probability: Of noisy clips whose noise is the same in all three channels.
        compression: "either" draws JPEG or H.264 for each clip.
        jpeg_quality: 1 (worst) to 100.
        h264_crf: Constant rate factor of H.264, 0 (best) to 51.

    Raises:
        ValueError: a field is out of its range.
    """

    blur_probability: float = number(0.8, 0, 1)
    blur_sigma: tuple[float, float] = number((0.1, 0.8), 0.05, 16)
    anisotropic_probability: float = number(0.3, 0, 1)
    scale: tuple[float, float] = number((1.0, 1.0), 1, 16)
    interpolation: Literal["any", "area", "linear", "cubic"] = "any"
    restore_size: bool = False
    noise_probability: float = number(0.5, 0, 1)
    poisson_probability: float = number(0.5, 0, 1)
    noise_sigma: tuple[float, float] = number((1.0, 6.0), 0, 64)
    grey_probability: float = number(0.4, 0, 1)
    compression: Literal["none", "jpeg", "h264", "either"] = "either"
    jpeg_quality: tuple[int, int] = number((60, 95), 1, 100)
    h264_crf: tuple[int, int] = number((18, 30), 0, 51)


@dataclass(frozen=True, kw_only=True)
class SDEditDegradation(Settings):
    """Model-guided degradation (S 4.2.2, U 3.3): partly noised, then finished by a text-to-video model.

    Attributes:
        mode: "alpha" mixes in a share of noise (S); "steps" goes k of `steps` steps forward and back (U).
        alpha: Share of noise in mode "alpha".
        k: Steps in mode "steps", at most `steps` (U gives no range; its Table 4 tries 5 and 15).
        steps: In mode "alpha" the model evaluations from alpha to 0; in mode "steps" those of the whole schedule, of
            which k are made.
        shift: Of the schedule; above 1 the k steps of mode "steps" begin at more noise than k / `steps`.
        solver: "euler", or "pndm" as U samples.

    Raises:
        ValueError: a field is out of its range, or k can exceed `steps`.
    """

    mode: Literal["alpha", "steps"] = "alpha"
    alpha: tuple[float, float] = number((0.3, 0.4), 0, 1)
    k: tuple[int, int] = number((5, 15), 0, 1000)
    steps: int = number(50, 1, 1000)
    shift: float = number(1.0, 0.01, 100)
    solver: Literal["euler", "pndm"] = "euler"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode == "steps" and self.k[1] > self.steps:
            raise ValueError(f"SDEditDegradation k goes to {self.k[1]} of {self.steps} steps, expected at most all")


@dataclass(frozen=True, kw_only=True)
class ReferenceAugmentation(Settings):
    """How references differ from the target they were taken from (U Table 3; no blur and no downscaling, U A.2).

    Attributes:
        brightness: Factor.
        flip_probability: Of a horizontal flip.
        shear: Largest shear along x and along y: how far opposite edges move against each other, as a part of the
            width and the height.
        rotation: Largest rotation to either side, degrees.
        crop_probability: Of a random crop.
        crop_scale: Side of the crop divided by the picture's.
        video_shift: How far a reference video starts from its target at most, earlier or later, frames ("ours"; U
            names the shift without a number).

    Raises:
        ValueError: a field is out of its range.
    """

    brightness: tuple[float, float] = number((0.9, 1.1), 0, 4)
    flip_probability: float = number(0.5, 0, 1)
    shear: float = number(0.05, 0, 1)
    rotation: float = number(20.0, 0, 180)
    crop_probability: float = number(0.5, 0, 1)
    crop_scale: tuple[float, float] = number((0.67, 1.0), 0.05, 1)
    video_shift: int = number(8, 0, 1000)
