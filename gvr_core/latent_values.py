"""How the values of a latent are scaled: raw as the autoencoder gives them, or normalised as the models see them.

Files and ComfyUI's LATENT wire hold raw values; a model works on `(raw - mean) / std`, with one mean and one deviation
for each channel of the latent space. The constants are those that the models were published with.

Nothing in a tensor says which of the two it is, and two spaces can have the same number of channels. `closest_scale`
therefore looks at the values. The means and deviations of one clip are not the published ones: in a real Wan 2.1 clip
the means are off by a third of a deviation, and the first frame has half the contrast of the others. What stays is the
pattern over the channels: that is compared, and the contrast of the clip as a whole counts only where it is too high.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from .coding import VideoVAE
from .flow import compute_dtype
from .geometry import latent_space

NORMALIZED = "normalized"
"""What `closest_scale` calls values that a model works on, of whatever space; Nano's raw ones are the same."""


@dataclass(frozen=True)
class LatentScale:
    """Mean and deviation of the raw values of each channel.

    Attributes:
        mean: one number for each channel.
        std: as many, above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(0 < std < math.inf for std in self.std):
            raise ValueError(
                f"latent scale has {len(self.mean)} means and {len(self.std)} deviations, the smallest "
                f"{min(self.std, default=0)}: give one of each for every channel, with deviations above 0"
            )

    @property
    def is_identity(self) -> bool:
        """True where raw and normalised values are the same."""
        return not any(self.mean) and all(std == 1 for std in self.std)

    def tensors(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation, ready for arithmetic with `like` (`b c ...`)."""
        shape = (-1, *[1] * (like.ndim - 2))
        dtype = compute_dtype(like)
        mean, std = (torch.tensor(v, dtype=dtype, device=like.device).reshape(shape) for v in (self.mean, self.std))
        return mean, std


def _uniform(channels: int, std: float) -> LatentScale:
    return LatentScale((0.0,) * channels, (std,) * channels)


# fmt: off
_WAN21 = LatentScale(
    mean=(
        -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
    ),
    std=(
        2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
        3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
    ),
)
_WAN22 = LatentScale(
    mean=(
        -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557,
        -0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825,
        -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
        -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230,
        -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748,
        0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
    ),
    std=(
        0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013,
        0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978,
        0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
        0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093,
        0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887,
        0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
    ),
)
# fmt: on

SCALES = MappingProxyType(
    {
        "wan21": _WAN21,
        "wan22": _WAN22,
        "hunyuan": _uniform(16, 1 / 0.476986),
        "hunyuan15": _uniform(32, 1 / 1.03682),
        "nano": _uniform(48, 1.0),
    }
)
"""Scale of the raw values of each latent space, read-only."""

MODELS = MappingProxyType(
    {"wan21": "Wan 2.1", "wan22": "Wan 2.2 5B", "hunyuan": "HunyuanVideo", "hunyuan15": "HunyuanVideo 1.5"}
)

# How far clips stray from the published values, in deviations and in factors of e; see the module's first lines.
_STRAY_MEAN, _STRAY_PATTERN, _TOO_MUCH_CONTRAST = 0.6, 0.25, 0.35
_FREEDOM = 8.0
"""Degrees of freedom of Student's t: one odd channel decides nothing."""
_CLEAR = 0.6
"""By how many nats another scale must be closer before anybody is told. Frames of a real Wan 2.1 clip, and parts of
them down to 1000 cells, are at most 0.4 behind as raw ones, and at least 0.8 where they are scaled otherwise."""
_FEWEST_CELLS, _FLAT = 768, 0.1
"""Cells of a frame and share of the usual contrast: with less, a clip says nothing about its scale."""


def normalize(latent: Tensor, space_name: str) -> Tensor:
    """Raw values as the models see them: `(raw - mean) / std`.

    Args:
        latent: raw, `b c ...`, any floating-point type.
        space_name: its latent space.

    Returns:
        The same shape and dtype, computed in float32 (float64 for float64); `latent` itself where nothing changes.

    Raises:
        ValueError: an unknown space, or a latent with other channels than the space has.
    """
    scale = _scale_of(latent, space_name)
    if scale.is_identity:
        return latent
    mean, std = scale.tensors(latent)
    return ((latent.to(mean.dtype) - mean) / std).to(latent.dtype)


def denormalize(latent: Tensor, space_name: str) -> Tensor:
    """Values of a model as the autoencoder knows them, `latent * std + mean`: undoes `normalize`, and raises as it."""
    scale = _scale_of(latent, space_name)
    if scale.is_identity:
        return latent
    mean, std = scale.tensors(latent)
    return (latent.to(mean.dtype) * std + mean).to(latent.dtype)


class NormalizedVAE:
    """A VAE on normalised latents: what the cascade works on goes in and comes out. See `coding.VideoVAE`."""

    def __init__(self, vae: VideoVAE, space_name: str) -> None:
        self.vae, self.space_name = vae, space_name

    def encode_stream(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        return (normalize(latent, self.space_name) for latent in self.vae.encode_stream(chunks))

    def decode_stream(self, latent: Tensor, *, chunk: int) -> Iterable[Tensor]:
        return self.vae.decode_stream(denormalize(latent, self.space_name), chunk=chunk)


def closest_scale(latent: Tensor) -> dict[str, float]:
    """How far each way of scaling is behind the one that the values of a latent look most like.

    Compared are the log-likelihoods of the channels' means and log deviations, averaged over the channels, under what
    clips are like (see the module's first lines).

    Args:
        latent: `b c t h w`, finite.

    Returns:
        Nats for each channel, closest first (0.0), by name: the spaces with as many channels, for their raw values,
        and `NORMALIZED`.
    """
    return _behind(*_statistics(latent))


def scale_warning(latent: Tensor, space_name: str) -> str | None:
    """A sentence for the user where a latent clearly does not hold the raw values of a space.

    Args:
        latent: `b c t h w`, finite; should be raw.
        space_name: the latent space it should be of.

    Returns:
        What the latent looks like and what to do; None where it fits, where that is unclear (a small or flat clip),
        and for Nano, whose raw values are normalised. Of HunyuanVideo's spaces, normalised values are never told:
        without a pattern over the channels they could be raw ones of less contrast.

    Raises:
        ValueError: an unknown space, or a latent with other channels than the space has.
    """
    scale = _scale_of(latent, space_name)
    if scale.is_identity or math.prod(latent.shape[-2:]) < _FEWEST_CELLS:
        return None
    mean, std = _statistics(latent)
    behind = _behind(mean, std)
    closest = next(iter(behind))
    flat, has_pattern = _log_contrasts(std, scale).mean() < math.log(_FLAT), len(set(scale.std)) > 1
    if flat or not behind[space_name] > _CLEAR or (closest == NORMALIZED and not has_pattern):
        return None
    expected = f"raw values of {MODELS[space_name]}'s autoencoder ({space_name}) are expected"
    if closest == NORMALIZED:
        nano = " or like Nano's" if latent.shape[1] == len(SCALES["nano"].mean) else ""
        return (
            f"this latent looks already normalised (as WanVideoWrapper and .pth files carry it){nano}, but {expected}: "
            "decode it with the tool that made it and encode the video again, or give it to "
            "gvr_core.latent_values.denormalize first"
        )
    return (
        f"this latent looks like {MODELS[closest]}'s ({closest}), but {expected}: use a cascade made for {closest}, or "
        "upsampler pixel with source_vae, the VAE of the model that the latent comes from"
    )


def _scale_of(latent: Tensor, space_name: str) -> LatentScale:
    space = latent_space(space_name)
    if latent.ndim < 2 or latent.shape[1] != space.channels:
        raise ValueError(
            f"latent has shape {tuple(latent.shape)}, expected `b c t h w` with the {space.channels} channels of "
            f"latent space {space_name}: use the space of the model that the latent comes from"
        )
    return SCALES[space_name]


def _statistics(latent: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, float64 `(c,)` on the CPU."""
    variance, mean = torch.var_mean(latent.detach().float(), dim=(0, *range(2, latent.ndim)), correction=0)
    return mean.cpu().double(), variance.cpu().double().sqrt()


def _behind(mean: Tensor, std: Tensor) -> dict[str, float]:
    candidates = {NORMALIZED: _uniform(len(mean), 1.0)}
    candidates |= {n: scale for n, scale in SCALES.items() if len(scale.mean) == len(mean) and not scale.is_identity}
    surprise = {name: _surprise(mean, std, scale) for name, scale in candidates.items()}
    least = min(surprise.values())
    return {name: surprise[name] - least for name in sorted(surprise, key=surprise.__getitem__)}


def _surprise(mean: Tensor, std: Tensor, scale: LatentScale) -> float:
    """Negative log-likelihood of the channels' means and log deviations under `scale`, in nats a channel."""
    nominal_mean, nominal_std = (torch.tensor(values, dtype=torch.float64) for values in (scale.mean, scale.std))
    contrasts = _log_contrasts(std, scale)
    off = (mean - nominal_mean) / (nominal_std * _STRAY_MEAN)
    pattern = (contrasts - contrasts.mean()) / _STRAY_PATTERN
    too_much = contrasts.mean().clamp_min(0) / _TOO_MUCH_CONTRAST
    tails = (_FREEDOM + 1) / 2 * (torch.log1p(off**2 / _FREEDOM) + torch.log1p(pattern**2 / _FREEDOM))
    return float((nominal_std.log() + tails).mean() + too_much**2 / 2)


def _log_contrasts(std: Tensor, scale: LatentScale) -> Tensor:
    """Log of each channel's deviation over the published one; a constant channel counts as a very small one."""
    return torch.log(std.clamp_min(1e-6) / torch.tensor(scale.std, dtype=torch.float64))
