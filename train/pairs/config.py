"""What the three commands are told: one typed configuration, a section for each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gvr_core.degradations.config import ReferenceAugmentation

from ..config import load_config

VARIANTS = ("plain", "flow", "synthetic", "both", "sdedit", "sdedit_latent")
MODEL_GUIDED = ("sdedit", "sdedit_latent")
LATENT_VARIANTS = ("sdedit_latent",)
"""Those that are stored as a latent and never decoded."""
QUALITIES = ("auto", "musiq", "piqe", "none")
LATENT_DTYPES = ("bfloat16", "float16", "float32")


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """Which clips are kept (S 5.1.1: not too bright or dark; over 10 uniform frames means of at least ...).

    Attributes:
        frames: frames that are measured, spread evenly over the clip.
        short_side: pixels; frames are measured at this size, whatever the clip's own. Sharpness depends on it.
        luma_least: mean luma, 0 to 255 (limits ours, the paper has none).
        luma_most: as luma_least.
        laplacian_least: variance of the Laplacian of the gray picture.
        quality: "musiq" and "piqe" need pyiqa; "auto" takes what is there, "none" measures no quality.
        musiq_least: 0 to 100, more is better.
        piqe_most: 0 to 100, less is better (ours: above 80 is "bad" by PIQE's authors. Many a good film is among their
            "poor", 51 to 80: what is out of focus or smooth counts as a fault).
    """

    frames: int = 10
    short_side: int = 1080
    luma_least: float = 20.0
    luma_most: float = 235.0
    laplacian_least: float = 30.0
    quality: str = "auto"
    musiq_least: float = 40.0
    piqe_most: float = 80.0

    def __post_init__(self) -> None:
        for name, least in (("frames", 1), ("short_side", 16)):
            if getattr(self, name) < least:
                raise ValueError(f"filter.{name} is {getattr(self, name)}, expected at least {least}")
        if self.quality not in QUALITIES:
            raise ValueError(f"filter.quality is {self.quality!r}, expected one of {', '.join(QUALITIES)}")


@dataclass(frozen=True, kw_only=True)
class CutConfig:
    """How samples are cut from a clip.

    Attributes:
        lengths: frames of a sample, 4n+1 each; S trains on 17 and 77, U on 21 and 77.
        stride: frames from the start of a sample to that of the next; 0 = its length.
        most: samples of each length from one clip, spread evenly over it; bounds memory and keeps long clips from
            outweighing the others.
        buckets: (width, height) pairs, multiples of 8; a clip takes the nearest shape that it covers. 1080 rows are
            1080: what an autoencoder needs beyond that is padded when it encodes.
        enlarge: whether a clip smaller than every bucket is enlarged; otherwise it is dropped.
        references: whether a frame of the clip outside the sample is stored with it, as a reference picture (U A.2).
        reference_video: whether a reference video is stored with each sample, as long as the sample: frames of
            `name.source.mp4` beside the clip (an editing pair) or, without one, of the clip itself.
        video_shift: frames that a reference video starts earlier or later at most (U 3.4; the number is ours).
    """

    lengths: tuple[int, ...]
    buckets: tuple[tuple[int, ...], ...]
    stride: int = 0
    most: int = 4
    enlarge: bool = False
    references: bool = True
    reference_video: bool = False
    video_shift: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.video_shift <= 1000:
            raise ValueError(f"cut.video_shift is {self.video_shift}, expected 0 to 1000 frames")
        if not self.lengths or any(length < 1 or length % 4 != 1 for length in self.lengths):
            raise ValueError(f"cut.lengths is {list(self.lengths)}, expected 4n+1 frames each (17, 21, 77, ...)")
        if len(set(self.lengths)) != len(self.lengths):
            raise ValueError(f"cut.lengths is {list(self.lengths)}: name every length once")
        if self.stride < 0 or self.most < 1:
            raise ValueError(f"cut.stride is {self.stride} and cut.most {self.most}, expected at least 0 and 1")
        if not self.buckets or any(len(b) != 2 or min(b) < 16 or any(n % 8 for n in b) for b in self.buckets):
            raise ValueError(
                f"cut.buckets is {[list(b) for b in self.buckets]}, expected [width, height], multiples of 8"
            )


@dataclass(frozen=True, kw_only=True)
class DegradeConfig:
    """The low-resolution side of the pairs.

    Attributes:
        variants: of "plain" (only made smaller), "flow", "synthetic", "both" (flow, then synthetic), "sdedit"
            (partly redrawn by a text-to-video model under the sample's caption, then synthetic; U 3.3),
            "sdedit_latent" (redrawn and kept as that model's latent, with nothing after it; S 4.2.2).
        scale: how many times smaller than the clean sample, at least 1; it divides the sides of every bucket.
        flow: fields of `FlowDegradation` that differ from their defaults.
        synthetic: fields of `SyntheticDegradation`.
        model: of both "sdedit" ones: folder of a Wan text-to-video model in diffusers' layout; it computes on
            `encode.device`.
        sdedit: of both "sdedit" ones: fields of `SDEditDegradation`.
        cfg: of both "sdedit" ones: conventional guidance scale, 0 to 100; 1 is without guidance and twice as fast.
    """

    variants: tuple[str, ...]
    scale: int
    flow: dict[str, Any]
    synthetic: dict[str, Any]
    model: str = ""
    sdedit: dict[str, Any] = field(default_factory=dict)
    cfg: float = 5.0

    def __post_init__(self) -> None:
        unknown = [variant for variant in self.variants if variant not in VARIANTS]
        if unknown or not self.variants or len(set(self.variants)) != len(self.variants):
            raise ValueError(f"degrade.variants is {list(self.variants)}, expected some of {', '.join(VARIANTS)}")
        if self.scale < 1:
            raise ValueError(f"degrade.scale is {self.scale}, expected at least 1")
        guided = [variant for variant in self.variants if variant in MODEL_GUIDED]
        if guided and not self.model:
            raise ValueError(
                f"degrade.model is empty, the variant {guided[0]} needs the folder of a Wan text-to-video model in "
                f"diffusers' layout: give degrade.model=DIR, or leave {guided[0]} out of degrade.variants"
            )
        if not 0 <= self.cfg <= 100:
            raise ValueError(f"degrade.cfg is {self.cfg}, expected 0 to 100")


@dataclass(frozen=True, kw_only=True)
class EncodeConfig:
    """What makes latents and text embeddings.

    Attributes:
        vae: "nano", a checkpoint of this project that holds a VAE, or a folder with a diffusers AutoencoderKLWan,
            AutoencoderKLHunyuanVideo or AutoencoderKLHunyuanVideo15.
        text: folder with `text_encoder` (UMT5EncoderModel) and `tokenizer`; "" for no text.
        text_tokens: longest prompt in tokens.
        dtype: type of the stored numbers.
        device: "auto", "cpu" or "cuda"; also where `degrade.model` computes.
        enlarged: also store each variant as the pixel upsampler makes it (U 3.2): enlarged bilinearly in pixels to the
            clean sample's size, then encoded.
        references: augmented views of a sample's reference picture, one latent frame each; 0 for none.
        augment: how the views differ from the picture; U's Table 3 by default.
    """

    vae: str = "nano"
    text: str = ""
    text_tokens: int = 512
    dtype: str = "bfloat16"
    device: str = "auto"
    enlarged: bool = False
    references: int = 0
    augment: ReferenceAugmentation = field(default_factory=ReferenceAugmentation)

    def __post_init__(self) -> None:
        if not 0 <= self.references <= 10:
            raise ValueError(f"encode.references is {self.references}, expected 0 to 10 views")
        if self.dtype not in LATENT_DTYPES:
            raise ValueError(f"encode.dtype is {self.dtype!r}, expected one of {', '.join(LATENT_DTYPES)}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"encode.device is {self.device!r}, expected auto, cpu or cuda")
        if self.text_tokens < 1:
            raise ValueError(f"encode.text_tokens is {self.text_tokens}, expected at least 1")


@dataclass(frozen=True, kw_only=True)
class PairsConfig:
    """The whole pipeline.

    Attributes:
        root: folder of clips, searched with everything below it.
        output: folder that gets `clips`, `degraded` and `encoded`.
        seed: of all that is drawn, 0 to 2**64 - 1.
        clips_per_shard: clips that share a tar file, the unit of work and of resuming.
        filter, cut, degrade, encode: see there.
    """

    root: str
    output: str
    seed: int
    clips_per_shard: int
    filter: FilterConfig
    cut: CutConfig
    degrade: DegradeConfig
    encode: EncodeConfig

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed is {self.seed}, expected 0 to 2**64 - 1")
        if self.clips_per_shard < 1:
            raise ValueError(f"clips_per_shard is {self.clips_per_shard}, expected at least 1")
        scale = self.degrade.scale
        for bucket in self.cut.buckets:
            if any(side % scale for side in bucket):
                raise ValueError(
                    f"cut.buckets has {list(bucket)}, which degrade.scale={scale} does not divide: the small pixels "
                    f"would not lie over the large ones, use multiples of {math.lcm(8, scale)}"
                )
        latents = [variant for variant in self.degrade.variants if variant in LATENT_VARIANTS]
        if latents and self.encode.enlarged:
            raise ValueError(
                f"encode.enlarged needs pixels, the variant {latents[0]} has none: use sdedit in degrade.variants, or "
                "encode.enlarged=false"
            )


def load_pairs_config(source: str, overrides: list[str]) -> PairsConfig:
    """The configuration named by a preset or YAML path, with overrides; see `train.config.load_config`."""
    config = load_config(PairsConfig, source, overrides)
    # Workers of a cluster have other working directories.
    return replace(config, root=str(Path(config.root).absolute()), output=str(Path(config.output).absolute()))
