"""`prepare`: clips -> filtered, cut samples with captions and references in tar shards."""

from __future__ import annotations

import base64
import errno
import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import cv2
import numpy as np

from gvr_core.degradations.config import ReferenceAugmentation
from gvr_core.degradations.reference_augment import shift_start

from . import captions
from .clip_filter import Measures, measure_clip, rejection
from .clip_search import find_clips, readable
from .config import PairsConfig
from .cutting import Cut, choose_bucket, plan_cuts
from .picture_quality import load_quality, resolve_quality
from .sample_videos import cut_clip
from .source_clips import Clip, ClipError, ClipsGoneError, ToolError, UnfitError, tool_errors
from .stage import Stage, digest, make_stage, to_json
from .storage import StorageError
from .tar_shards import TarShard, new_shard

log = logging.getLogger("gvr")

KEPT, DROPPED, DAMAGED = "kept", "dropped", "damaged"
_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENOTCONN}
cached_quality = functools.lru_cache(load_quality)  # weights are read once for a process, not for a shard


def plan_prepare(config: PairsConfig) -> tuple[Stage, list[Clip]]:
    """The stage and the clips of all shards.

    Raises:
        ValueError: no clips, or the folder was begun with other settings or clips.
    """
    clips = find_clips(Path(config.root))
    without = sum(not clip.has_caption for clip in clips)
    if without:
        log.warning("%d of %d clips have no caption beside them (name.txt or name.json)", without, len(clips))
    folder = Path(config.output) / "clips"
    settings = {
        "command": "prepare",
        "seed": config.seed,
        "clips_per_shard": config.clips_per_shard,
        "filter": {**asdict(config.filter), "quality": resolve_quality(config.filter.quality, folder)},
        "cut": asdict(config.cut),
        "captions": captions.cleaning(),
        "clips": [clip.name for clip in clips],  # what is in them belongs to their shard, see PrepareShard.inputs
    }
    if not config.cut.reference_video:  # these decide nothing then
        settings["cut"] = {n: v for n, v in settings["cut"].items() if n not in ("reference_video", "video_shift")}
    shards = -(-len(clips) // config.clips_per_shard)
    return make_stage(folder, settings, shards), clips


@dataclass(frozen=True)
class PrepareShard:
    """Makes one shard; can be sent to another process."""

    config: PairsConfig
    stage: Stage
    clips: list[Clip]
    uses_gpu: ClassVar[bool] = False

    def clips_of(self, shard: int) -> list[Clip]:
        """The clips that shard number `shard` is made from."""
        return self.clips[shard * self.config.clips_per_shard : (shard + 1) * self.config.clips_per_shard]

    def inputs(self, shard: int) -> str:
        """Stands for the contents of a shard's clips and of what is read beside them."""
        used = {"masks": self.config.cut.references, "source": self.config.cut.reference_video}
        return digest([clip.fingerprint(**used) for clip in self.clips_of(shard)])

    def __call__(self, shard: int, advance: Callable[[int], object] = lambda n: None) -> int:
        """Make shard number `shard` unless it is there and its clips are the same; `advance` is told of every clip
        that is done. Returns the number of clips."""
        config, quality_name = self.config, self.stage.settings["filter"]["quality"]
        clips, inputs = self.clips_of(shard), self.inputs(shard)
        if self.stage.is_done(shard, lambda _: inputs):
            advance(len(clips))
            return len(clips)
        quality = cached_quality(quality_name)
        surprises: list[Exception] = []
        samples: list[dict[str, Any]] = []
        items: list[dict[str, Any]] = []
        pictures: dict[str, str] = {}
        with new_shard(self.stage.tar(shard)) as tar:
            for clip in clips:
                before, item = tar.size, {"clip": clip.name, "samples": 0}
                try:
                    measures = measure_clip(clip, config.filter, quality)
                    with tool_errors("the JPEG encoder", clip.name):
                        pictures[clip.name] = picture(measures.preview)
                    item |= _figures(measures, quality_name)
                    reason = rejection(measures, config.filter, quality_name)
                    found = [] if reason else list(self._samples(clip, measures, quality_name, tar))
                    if not found and reason is None:
                        reason = self._unfit(measures)
                    item |= {"status": DROPPED if reason else KEPT, "reason": reason, "samples": len(found)}
                    if found:
                        item["has_caption"] = bool(found[0]["caption"])
                    samples += found
                except (StorageError, ClipsGoneError, ToolError):
                    raise
                except Exception as error:  # noqa: BLE001 - no library's surprise at one clip of a million ends a run
                    tar.cut_back(before)
                    item |= self._left_out(clip, error) | {"samples": 0}
                    if not isinstance(error, ClipError | UnfitError):
                        surprises.append(error)
                items.append(item)
                advance(1)
            if len(surprises) == len(clips) > 1 and len({type(error) for error in surprises}) == 1:
                raise ToolError(
                    f"all {len(clips)} clips of {self.stage.tar(shard).name} failed alike, {clips[-1].name} with "
                    f"{type(surprises[-1]).__name__}: {surprises[-1]}: that is hardly a fault of the clips. Mend it, "
                    "then give the same command again"
                )
        self.stage.finish_shard(shard, inputs=inputs, samples=samples, items=items, pictures=pictures)
        return len(items)

    def _left_out(self, clip: Clip, error: Exception) -> dict[str, str]:
        """What becomes of a clip that raised something. Raises what was not the clip's fault."""
        if _is_of_memory(error):
            raise StorageError(
                f"this machine could not go on at {clip.name}: {str(error) or 'no memory'}: use fewer --workers, then "
                "give the same command again"
            ) from error
        if _errnos(error) & _OF_THE_MACHINE:
            raise StorageError(
                f"this machine could not go on at {clip.name}: {error}: mend that, then give the same command again"
            ) from error
        if clip.is_gone():
            raise ClipsGoneError(f"{clip.path} is not there any more: is the disk still mounted?") from error
        if isinstance(error, UnfitError):
            return {"status": DROPPED, "reason": readable(str(error))}
        kind = "" if isinstance(error, ClipError) else f"{type(error).__name__}: "
        reason = readable(f"{kind}{error}")
        log.warning("damaged, left out: %s: %s", clip.name, reason)
        return {"status": DAMAGED, "reason": reason}

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
        videos, references = cut_clip(clip, cuts, bucket, Fraction(measures.fps), starts)
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


def _errnos(error: BaseException) -> set[int]:
    """What the system said, if an error or one of its causes came from there."""
    return {cause.errno for cause in _causes(error) if getattr(cause, "errno", None) is not None}


def _is_of_memory(error: BaseException) -> bool:
    # FFmpeg says so of damaged headers that claim enormous sizes, too.
    if any(isinstance(cause, av.FFmpegError) for cause in _causes(error)):
        return False
    return errno.ENOMEM in _errnos(error) or any(
        isinstance(cause, MemoryError) or (isinstance(cause, cv2.error) and cause.code == cv2.Error.StsNoMem)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def picture(frame: np.ndarray, quality: int = 80) -> str:
    """A frame `h w 3` uint8 RGB as base64 JPEG, for the report."""
    data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return base64.b64encode(data.tobytes()).decode()
