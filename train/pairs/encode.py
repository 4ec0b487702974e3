"""`encode`: clean and degraded samples -> raw latents and text embeddings in tar shards, ready for training."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from gvr_core.geometry import pair_size

from .config import LATENT_VARIANTS, EncodeConfig, PairsConfig
from .encoders import VideoEncoder, load_text, load_vae, text_identity, vae_identity
from .lossless_video import read_lossless
from .prepare import KEPT
from .reference_latents import encode_references
from .stage import Stage, make_stage, open_stage, to_json
from .storage import write_durably
from .tar_shards import new_shard, read_sample

CLEAN = "clean"
ENLARGED = ".enlarged"
"""After the name of a variant: its latent by the pixel route."""
NULL_TEXT = "null_text.safetensors"
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
cached_vae = functools.lru_cache(load_vae)  # weights are read once for a process, not for a shard
cached_text = functools.lru_cache(load_text)


def plan_encode(config: PairsConfig) -> tuple[Stage, Stage, Stage]:
    """The stage and the two it reads: clean samples and degraded ones.

    Raises:
        ValueError: an earlier command has not begun, or was begun anew since; no such weights.
    """
    clips = open_stage(Path(config.output) / "clips", "prepare")
    degraded = open_stage(Path(config.output) / "degraded", "degrade")
    if degraded.settings["source"] != clips.digest:
        raise ValueError(f"{degraded.folder} was made from other samples than those in {clips.folder}: degrade again")
    vae = vae_identity(config.encode.vae)
    _check_taken_over(config.encode, vae["weights"], degraded)
    settings = {
        "command": "encode",
        "source": degraded.digest,
        "vae": vae,
        "text": text_identity(config.encode.text),
        **{name: getattr(config.encode, name) for name in ("text_tokens", "dtype")},
    }
    if config.encode.enlarged:  # what is off decides nothing, and older folders know nothing of it
        settings["enlarged"] = True
    if config.encode.references:
        augment = asdict(config.encode.augment)
        settings |= {"references": config.encode.references, "augment": augment, "seed": config.seed}
    return make_stage(Path(config.output) / "encoded", settings, clips.shards), clips, degraded


def _check_taken_over(config: EncodeConfig, weights: str, degraded: Stage) -> None:
    """Raises ValueError where `degraded` holds latents of another autoencoder, or no pixels that could be enlarged."""
    made = degraded.settings["degrade"]
    taken = [variant for variant in made["variants"] if variant in LATENT_VARIANTS]
    if taken and weights != made["model"]["vae"]:
        raise ValueError(
            f"{degraded.folder} holds the variant {taken[0]} as latents of the autoencoder of {made['model']['name']}, "
            f"and encode.vae={config.vae} is another one: give the folder vae of that model"
        )
    if taken and config.enlarged:
        raise ValueError(
            f"encode.enlarged needs pixels, the variant {taken[0]} has none: use sdedit in degrade.variants, or "
            "encode.enlarged=false"
        )


@dataclass(frozen=True)
class EncodeShard:
    """Makes one shard; can be sent to another process."""

    config: EncodeConfig
    stage: Stage
    clips: Stage
    degraded: Stage

    @property
    def uses_gpu(self) -> bool:
        return self.config.device != "cpu"

    def inputs(self, shard: int) -> str:
        """Stands for the samples and variants a shard is made from.

        Raises:
            ValueError: they were never all there, or the variants were made from other samples than are there now.
        """
        made_from, degraded = self.degraded.origin(shard)
        if made_from != self.clips.origin(shard)[1]:
            raise ValueError(
                f"{self.degraded.manifest(shard)} was made from other samples than are in {self.clips.folder} now, "
                "which were prepared again: degrade again"
            )
        return degraded

    def __call__(self, shard: int, advance: Callable[[int], object] = lambda n: None) -> int:
        """Make shard number `shard`; `advance` is told of every sample. Returns the number of samples."""
        inputs = self.inputs(shard)
        encoder, text = cached_vae(self.config), cached_text(self.config)
        if text is not None and not (self.stage.folder / NULL_TEXT).is_file():
            write_durably(self.stage.folder / NULL_TEXT, save({"text": text("").contiguous()}))
        clean_rows = self.clips.read_manifest(shard)["samples"]
        degraded_rows = self.degraded.read_manifest(shard)["samples"]
        samples: list[dict[str, Any]] = []
        items: list[dict[str, Any]] = []
        with new_shard(self.stage.tar(shard)) as tar:
            for clean, low in zip(clean_rows, degraded_rows, strict=True):
                latents, references = self._latents(shard, clean, low, encoder)
                embedding = text(clean["caption"]) if text is not None else None
                record = self._record(clean, low, latents, references, embedding, encoder)
                enlarged = {n: latents.pop(n) for n in list(latents) if n.endswith(ENLARGED)}
                parts = {"latent": latents, "reference": references, **{n: {n: v} for n, v in enlarged.items()}}
                members = {"json": to_json(record)}
                members |= {f"{name}.safetensors": self._stored(part) for name, part in parts.items() if part}
                if embedding is not None:
                    members["text.safetensors"] = save({"text": embedding.contiguous()})
                offset, size = tar.add(record["key"], members)
                samples.append({**record, "offset": offset, "size": size})
                deviations = {f"std of {n}": round(float(v.std()), 4) for n, v in latents.items()}
                items.append({"clip": clean["clip"], "key": clean["key"], "status": KEPT, **deviations})
                advance(1)
        self.stage.finish_shard(shard, inputs=inputs, samples=samples, items=items, pictures={})
        return len(samples)

    def _stored(self, tensors: dict[str, Tensor]) -> bytes:
        return save({name: value.to(DTYPES[self.config.dtype]).contiguous() for name, value in tensors.items()})

    def _latents(
        self, shard: int, clean: dict[str, Any], low: dict[str, Any], encoder: VideoEncoder
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Raw latents `c t h w` float32 by name: "clean" and "NAME.enlarged" on the large grid, the variants on the
        small one; and those of the references, see `encode_references`."""
        data = read_sample(self.clips.tar(shard), clean["offset"], clean["size"])
        degraded = read_sample(self.degraded.tar(shard), low["offset"], low["size"])
        height, width = pair_size(encoder.space, low["height"], low["width"], scale=low["scale"])
        small, large = ({"height": n * height, "width": n * width} for n in (1, low["scale"]))
        latents = {CLEAN: encoder(read_lossless(data["mp4"]), **large)}
        for variant in low["variants"]:
            if variant in LATENT_VARIANTS:
                latents[variant] = load(degraded[f"{variant}.safetensors"])[variant]
                continue
            video = degraded[f"{variant}.mp4"]
            latents[variant] = encoder(read_lossless(video), **small)
            if self.config.enlarged:
                latents[variant + ENLARGED] = encoder.enlarged(read_lossless(video), scale=low["scale"], **large)
        drawing = {"count": self.config.references, "seed": self.stage.settings.get("seed", 0), "key": clean["key"]}
        references = encode_references(data, encoder, self.config.augment, **large, **drawing)
        for name, latent in (latents | references).items():
            if not torch.isfinite(latent).all():
                raise ValueError(f"{clean['key']}: the latent of {name} is not finite: encode with another autoencoder")
        return latents, references

    def _record(
        self,
        clean: dict[str, Any],
        low: dict[str, Any],
        latents: dict[str, Tensor],
        references: dict[str, Tensor],
        embedding: Tensor | None,
        encoder: VideoEncoder,
    ) -> dict[str, Any]:
        kept = ("key", "clip", "start", "frames", "fps", "width", "height", "caption", "luma", "laplacian", "quality")
        return {
            **{name: clean[name] for name in kept},
            "low_width": low["width"],
            "low_height": low["height"],
            "motion": low["motion"],
            "variants": low["variants"],
            "space": encoder.space.name,
            "latent_shape": list(latents[CLEAN].shape),
            "low_latent_shape": list(latents[low["variants"][0]].shape),
            "text_tokens": 0 if embedding is None else len(embedding),
            "enlarged": self.config.enlarged,
            "num_images": references["images"].shape[1] if "images" in references else 0,
            "video_frames": references["video"].shape[1] if "video" in references else 0,
            "has_mask": clean["has_mask"],
            "has_source": clean.get("has_source", False),
        }
