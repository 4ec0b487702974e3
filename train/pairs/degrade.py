"""`degrade`: clean samples -> smaller, degraded variants of them in tar shards (S 4.2, 5.1.4; U 3.3)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors.torch import save
from torch import Tensor

from gvr_core.comparison import comparison_sheet
from gvr_core.degradations.config import FlowDegradation, SDEditDegradation, SyntheticDegradation
from gvr_core.degradations.flow_based import Degraded, degrade_flow
from gvr_core.degradations.synthetic import degrade_synthetic
from gvr_core.geometry import pair_size
from gvr_core.solvers import Model

from ..config import build
from .config import LATENT_VARIANTS, MODEL_GUIDED, DegradeConfig, PairsConfig
from .lossless_video import LosslessWriter, read_lossless
from .prepare import KEPT, picture
from .sdedit_diffusers import WanDegrader, degrade_to_frames, degrade_to_latent, load_wan, wan_identity
from .stage import Stage, make_stage, open_stage, to_json
from .tar_shards import new_shard, read_sample

ModelGuided = Callable[..., Iterable[np.ndarray]]
"""`model_guided(frames, seed=..., clip_id=...) -> frames`: what "sdedit" does."""
cached_wan = functools.lru_cache(load_wan)  # weights are read once for a process, not for a shard


def plan_degrade(config: PairsConfig) -> tuple[Stage, Stage]:
    """The stage and the one it reads, whose shards it follows.

    Raises:
        ValueError: `prepare` has not begun, no such model, or settings that do not fit.
    """
    source = open_stage(Path(config.output) / "clips", "prepare")
    flow, synthetic, sdedit = degradations(config.degrade)
    degrade = {**asdict(config.degrade), "flow": asdict(flow), "synthetic": asdict(synthetic)}
    if set(MODEL_GUIDED) & set(config.degrade.variants):
        degrade |= {"model": wan_identity(config.degrade.model), "sdedit": asdict(sdedit)}
    else:  # these decide nothing then
        degrade = {name: value for name, value in degrade.items() if name not in ("model", "sdedit", "cfg")}
    settings = {"command": "degrade", "source": source.digest, "seed": config.seed, "degrade": degrade}
    return make_stage(Path(config.output) / "degraded", settings, source.shards), source


def degradations(config: DegradeConfig) -> tuple[FlowDegradation, SyntheticDegradation, SDEditDegradation]:
    """The three degradations with their defaults filled in.

    Raises:
        ValueError: an unknown field (the nearest one is told), a value out of range, or a change of size.
    """
    flow = build(FlowDegradation, config.flow, "degrade.flow.")
    synthetic = build(SyntheticDegradation, {"restore_size": True, **config.synthetic}, "degrade.synthetic.")
    if not synthetic.restore_size and synthetic.scale[1] > 1:
        raise ValueError("degrade.synthetic.restore_size is off: the variants of a sample need one size, leave it on")
    return flow, synthetic, build(SDEditDegradation, config.sdedit, "degrade.sdedit.")


def degrade_sample(
    frames: Iterable[np.ndarray],
    variant: str,
    flow: FlowDegradation,
    synthetic: SyntheticDegradation,
    *,
    seed: int,
    key: str,
    model_guided: ModelGuided | None = None,
) -> Iterator[tuple[np.ndarray, float]]:
    """The frames of one variant, each with the share of the picture that moves (0 where no flow is computed).

    Args:
        frames: of the small clean sample, `h w 3` uint8 RGB.
        variant: one of `config.VARIANTS` that has frames.
        flow: what "flow" and "both" do.
        synthetic: what "synthetic" and "both" do.
        seed: of the run.
        key: names the sample; with seed and variant it decides everything that is drawn.
        model_guided: what "sdedit" does, `synthetic` included.
    """
    clip_id = f"{key}#{variant}"
    motion: list[float] = []

    def moved() -> Iterator[np.ndarray]:
        for degraded in _flow(frames, flow, seed, clip_id):
            motion.append(round(float(degraded.mask.mean()), 6))
            yield degraded.frame

    stream = moved() if variant in ("flow", "both") else iter(frames)
    if variant == "sdedit":
        stream = model_guided(stream, seed=seed, clip_id=clip_id)
    elif variant in ("synthetic", "both"):
        stream = degrade_synthetic(stream, synthetic, seed=seed, clip_id=clip_id)
    for number, frame in enumerate(stream):
        yield frame, motion[number] if motion else 0.0


def _flow(frames: Iterable[np.ndarray], flow: FlowDegradation, seed: int, clip_id: str) -> Iterator[Degraded]:
    """Also the first frame is degraded: a sample begins anywhere in its clip, and a model must not learn that the first
    latent frame is always clean. Its neighbour on the other side, the second frame, tells how it moves."""
    frames = iter(frames)
    lead = list(islice(frames, 2))
    previous = lead[1] if len(lead) == 2 else None
    return degrade_flow(chain(lead, frames), flow, seed=seed, clip_id=clip_id, previous=previous)


@dataclass(frozen=True)
class DegradeShard:
    """Makes one shard; can be sent to another process."""

    config: PairsConfig
    stage: Stage
    source: Stage

    @property
    def uses_gpu(self) -> bool:
        return bool(set(MODEL_GUIDED) & set(self.config.degrade.variants)) and self.config.encode.device != "cpu"

    def inputs(self, shard: int) -> str:
        """Stands for the samples a shard is made from. Raises ValueError: they were never all there."""
        return self.source.origin(shard)[1]

    def __call__(self, shard: int, advance: Callable[[int], object] = lambda n: None) -> int:
        """Make shard number `shard`; `advance` is told of every sample. Returns the number of samples."""
        inputs, manifest = self.inputs(shard), self.source.read_manifest(shard)
        samples: list[dict[str, Any]] = []
        items: list[dict[str, Any]] = []
        pictures: dict[str, str] = {}
        shown: set[str] = set()
        with new_shard(self.stage.tar(shard)) as tar:
            for row in manifest["samples"]:
                data = read_sample(self.source.tar(shard), row["offset"], row["size"])
                is_shown = row["clip"] not in shown  # one picture for a clip is enough
                shown.add(row["clip"])
                members, record, sheet = self._degrade(row, data["mp4"], with_sheet=is_shown)
                if sheet is not None:
                    pictures[record["key"]] = picture(sheet, quality=88)
                offset, size = tar.add(record["key"], {**members, "json": to_json(record)})
                samples.append({**record, "offset": offset, "size": size})
                items.append({"clip": row["clip"], "key": row["key"], "status": KEPT, "motion": record["motion"]})
                advance(1)
        self.stage.finish_shard(shard, inputs=inputs, samples=samples, items=items, pictures=pictures)
        return len(samples)

    def _degrade(
        self, row: dict[str, Any], video: bytes, *, with_sheet: bool
    ) -> tuple[dict[str, bytes], dict[str, Any], np.ndarray | None]:
        """Tar members, row of the index and, on request, the picture of one sample."""
        config = self.config.degrade
        flow, synthetic, sdedit = degradations(config)
        width, height = (_divided(row, side, config.scale) for side in ("width", "height"))
        drawing, guide = {"seed": self.config.seed, "key": row["key"]}, self._guide(row["caption"])
        if guide is not None:
            parts = {"wan": guide[0], "config": sdedit, "model": guide[1]}
            drawing["model_guided"] = functools.partial(degrade_to_frames, synthetic=synthetic, **parts)
        members, motion, shown = {}, 0.0, {}
        number = row["frames"] // 2
        # With flow first: its frame of most motion is the one that is shown of all variants.
        for variant in sorted(config.variants, key=lambda name: name not in ("flow", "both")):
            small = (_smaller(frame, width, height) for frame in read_lossless(video))
            if variant in LATENT_VARIANTS:
                latent = degrade_to_latent(small, **parts, seed=self.config.seed, clip_id=f"{row['key']}#{variant}")
                latent = _on_grid(latent, guide[0], height, width, config.scale)
                members[f"{variant}.safetensors"] = save({variant: latent})
                if with_sheet:
                    shown[variant] = guide[0].decoded_frame(latent, number, height=height, width=width)
                continue
            writer = LosslessWriter(width=width, height=height, fps=Fraction(row["fps"]))
            frames = degrade_sample(small, variant, flow, synthetic, **drawing)
            is_first = not shown
            for position, (frame, moving) in enumerate(frames):
                writer.write(frame)
                if is_first and moving > motion:
                    number, motion = position, moving
                if position == number:
                    shown[variant] = frame
            members[f"{variant}.mp4"] = writer.finish()
        record = {
            **{name: row[name] for name in ("key", "clip", "start", "frames", "fps", "caption")},
            "width": width,
            "height": height,
            "scale": config.scale,
            "variants": list(config.variants),
            "motion": motion,
        }
        if not with_sheet:
            return members, record, None
        clean = next(islice(read_lossless(video), number, None))
        return members, record, _sheet(_smaller(clean, width, height), {name: shown[name] for name in config.variants})

    def _guide(self, caption: str) -> tuple[WanDegrader, Model] | None:
        """The model and its velocity under a caption; None where no variant asks for it: then no model is loaded."""
        config = self.config.degrade
        if not set(MODEL_GUIDED) & set(config.variants):
            return None
        wan = cached_wan(config.model, device=self.config.encode.device)
        return wan, wan.model(caption, cfg=config.cfg)


def _divided(row: dict[str, Any], side: str, scale: int) -> int:
    """A side of the small sample. Raises ValueError where its pixels would not lie over the clean ones."""
    if row[side] % scale:
        raise ValueError(
            f"{row['key']} is {row['width']} x {row['height']} pixels, which degrade.scale={scale} does not divide: "
            "use another scale, or prepare other buckets"
        )
    return row[side] // scale


def _on_grid(latent: Tensor, wan: WanDegrader, height: int, width: int, scale: int) -> Tensor:
    """A latent cut to the cells that the other variants of the sample have: its transformer may need more."""
    height, width = (side // wan.space.spatial for side in pair_size(wan.space, height, width, scale=scale))
    return latent[..., :height, :width].contiguous()


def _smaller(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    if frame.shape[:2] == (height, width):
        return frame
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def _sheet(clean: np.ndarray, variants: dict[str, np.ndarray]) -> np.ndarray:
    """Clean frame and variants side by side, with the parts enlarged where flow (or whatever is first) changed most."""
    change = cv2.absdiff(variants.get("flow", next(iter(variants.values()))), clean)
    return comparison_sheet([("clean", clean), *variants.items()], reference=change)
