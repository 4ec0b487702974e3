"""`prepare`: clips -> filtered, cut samples with captions and references in tar shards."""

from __future__ import annotations

import base64
import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import cv2
import numpy as np

from gvr_core.degradations.config import ReferenceAugmentation
from gvr_core.degradations.reference_augment import shift_start

from .clip_filter import Measures, measure_clip, rejection
from .config import PairsConfig
from .cutting import Cut, choose_bucket, fit, plan_cuts
from .lossless_video import LosslessWriter
from .picture_quality import load_quality, resolve_quality
from .source_clips import Clip, ClipError, find_clips
from .stage import Stage, make_stage, to_json
from .tar_shards import TarShard, new_shard

log = logging.getLogger("gvr")

Window = TypeVar("Window")
KEPT, DROPPED, DAMAGED = "kept", "dropped", "damaged"
cached_quality = functools.lru_cache(load_quality)  # weights are read once for a process, not for a shard


def plan_prepare(config: PairsConfig) -> tuple[Stage, list[Clip]]:
    """The stage and the clips of all shards.

    Raises:
        ValueError: no clips, or the folder was begun with other settings or clips.
    """
    clips = find_clips(Path(config.root))
    settings = {
        "command": "prepare",
        "seed": config.seed,
        "clips_per_shard": config.clips_per_shard,
        "filter": {**asdict(config.filter), "quality": resolve_quality(config.filter.quality)},
        "cut": asdict(config.cut),
        "clips": [[clip.name, clip.size] for clip in clips],
    }
    if config.cut.reference_video:
        sources = [(clip.name, clip.source()) for clip in clips]
        settings["sources"] = [[name, source.stat().st_size] for name, source in sources if source is not None]
    else:  # these decide nothing then, and folders begun before they existed can be finished
        settings["cut"] = {n: v for n, v in settings["cut"].items() if n not in ("reference_video", "video_shift")}
    shards = -(-len(clips) // config.clips_per_shard)
    return make_stage(Path(config.output) / "clips", settings, shards), clips


@dataclass(frozen=True)
class PrepareShard:
    """Makes one shard; can be sent to another process."""

    config: PairsConfig
    stage: Stage
    clips: list[Clip]
    uses_gpu: ClassVar[bool] = False

    def __call__(self, shard: int, advance: Callable[[int], object] = lambda n: None) -> int:
        """Make shard number `shard`; `advance` is told of every clip that is done. Returns the number of clips."""
        config, quality_name = self.config, self.stage.settings["filter"]["quality"]
        clips = self.clips[shard * config.clips_per_shard : (shard + 1) * config.clips_per_shard]
        quality = cached_quality(quality_name)
        samples: list[dict[str, Any]] = []
        items: list[dict[str, Any]] = []
        pictures: dict[str, str] = {}
        with new_shard(self.stage.tar(shard)) as tar:
            for clip in clips:
                before, item = tar.size, {"clip": clip.name, "samples": 0}
                try:
                    measures = measure_clip(clip, config.filter, quality)
                    pictures[clip.name] = picture(measures.preview)
                    item |= _figures(measures, quality_name)
                    reason = rejection(measures, config.filter, quality_name)
                    found = [] if reason else list(self._samples(clip, measures, quality_name, tar))
                    if not found and reason is None:
                        reason = self._unfit(measures)
                    item |= {"status": DROPPED if reason else KEPT, "reason": reason, "samples": len(found)}
                    samples += found
                except ClipError as error:
                    tar.cut_back(before)
                    log.warning("damaged, left out: %s: %s", clip.name, error)
                    item |= {"status": DAMAGED, "reason": str(error), "samples": 0}
                items.append(item)
                advance(1)
        self.stage.finish_shard(shard, samples=samples, items=items, pictures=pictures)
        return len(clips)

    def _unfit(self, measures: Measures) -> str:
        """Why a good clip gave no sample."""
        if choose_bucket(measures.width, measures.height, self.config.cut) is None:
            return f"too small: {measures.width} x {measures.height} pixels cover no bucket"
        return f"too short: {measures.frames} frames, the shortest sample has {min(self.config.cut.lengths)}"

    def _samples(self, clip: Clip, measures: Measures, quality_name: str, tar: TarShard) -> Iterator[dict[str, Any]]:
        """Write the samples of a clip; a row of the index for each."""
        config = self.config.cut
        bucket = choose_bucket(measures.width, measures.height, config)
        if bucket is None:
            return
        cuts = plan_cuts(clip.number, measures.frames, config, self.config.seed)
        if not cuts:
            return
        caption = clip.caption()
        starts = self._reference_starts(clip, cuts, measures.frames)
        videos, references = _cut(clip, cuts, bucket, Fraction(measures.fps), starts)
        for cut in cuts:
            members = {"mp4": videos[cut], **references.get(cut.reference, {})}
            if starts:
                members["reference.mp4"] = videos[cut, starts[cut]]
            record = {
                "key": f"{clip.key}-{cut.length:03d}-{cut.start:06d}",
                "clip": clip.name,
                "start": cut.start,
                "frames": cut.length,
                "width": bucket[0],
                "height": bucket[1],
                "caption": caption,
                "reference_frame": cut.reference,
                "has_mask": "reference_mask.png" in members,
                **({"reference_start": starts[cut], "has_source": clip.source() is not None} if starts else {}),
                **{f"source_{name}": getattr(measures, name) for name in ("frames", "width", "height")},
                **_figures(measures, quality_name),
            }
            offset, size = tar.add(record["key"], {**members, "json": to_json(record)})
            yield {**record, "offset": offset, "size": size}

    def _reference_starts(self, clip: Clip, cuts: list[Cut], frames: int) -> dict[Cut, int]:
        """The first frame of the reference video of each cut; nothing where none is wanted."""
        if not self.config.cut.reference_video:
            return {}
        shift = ReferenceAugmentation(video_shift=self.config.cut.video_shift)
        place = {"clip_frames": frames, "seed": self.config.seed}
        return {
            cut: shift_start(shift, start=cut.start, frames=cut.length, clip_id=f"{clip.key}-{cut.length}", **place)
            for cut in cuts
        }


def _cut(
    clip: Clip, cuts: list[Cut], bucket: tuple[int, int], fps: Fraction, starts: dict[Cut, int]
) -> tuple[dict[Cut | tuple[Cut, int], bytes], dict[int | None, dict[str, bytes]]]:
    """The videos of all cuts, and of `(cut, start)` for reference videos; by frame number the tar members of reference
    pictures. One pass over the clip, another one over the video before the edit.

    Frames are encoded as they come: `cut.most` bounds the encoded samples that are held.
    """
    samples = {cut: (cut.start, cut.length) for cut in cuts}
    shifted = {(cut, start): (start, cut.length) for cut, start in starts.items()}
    if clip.source() is None:
        return _read(clip, clip.frames(), samples | shifted, cuts, bucket, fps)
    videos, references = _read(clip, clip.frames(), samples, cuts, bucket, fps)
    return videos | _read(clip, clip.source_frames(), shifted, [], bucket, fps)[0], references


def _read(
    clip: Clip,
    frames: Iterator[np.ndarray],
    windows: dict[Window, tuple[int, int]],
    cuts: list[Cut],
    bucket: tuple[int, int],
    fps: Fraction,
) -> tuple[dict[Window, bytes], dict[int | None, dict[str, bytes]]]:
    """The videos of the windows (first frame, length), and the reference pictures of the cuts by frame number."""
    if not windows:
        return {}, {}
    writers = {window: LosslessWriter(width=bucket[0], height=bucket[1], fps=fps) for window in windows}
    videos: dict[Window, bytes] = {}
    wanted = {cut.reference for cut in cuts if cut.reference is not None}
    references: dict[int | None, dict[str, bytes]] = {}
    last = max([*wanted, *(start + length - 1 for start, length in windows.values())])
    for number, frame in enumerate(frames):
        running = [window for window, (start, length) in windows.items() if start <= number < start + length]
        if running or number in wanted:
            fitted = fit(frame, bucket)
            for window in running:
                writers[window].write(fitted)
                if number == sum(windows[window]) - 1:
                    videos[window] = writers.pop(window).finish()
            if number in wanted:
                references[number] = {"reference.png": _png(fitted[..., ::-1])}
                mask = clip.mask_at(number)
                if mask is not None:
                    references[number]["reference_mask.png"] = _png(fit(mask, bucket, is_mask=True))
        if number == last:
            return videos, references
    raise ClipError(
        f"{clip.name}: a video ended before frame {last}: the one before the edit must be as long as the clip"
        if clip.source() is not None
        else f"{clip.name} ended before frame {last}, which it had a moment ago: was it replaced?"
    )


def _figures(measures: Measures, quality_name: str) -> dict[str, Any]:
    """Rounded, so that the last bits of a sum cannot change bytes."""
    quality = None if measures.quality is None else round(measures.quality, 3)
    return {
        "fps": measures.fps,
        "luma": round(measures.luma, 3),
        "laplacian": round(measures.laplacian, 3),
        "quality": quality,
        "quality_measure": quality_name,
    }


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def picture(frame: np.ndarray, quality: int = 80) -> str:
    """A frame `h w 3` uint8 RGB as base64 JPEG, for the report."""
    data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return base64.b64encode(data.tobytes()).decode()
