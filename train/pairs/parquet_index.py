"""The index of a stage: a parquet file with a row for each sample, in the order of shards and samples.

`shard`, `offset` and `size` lead to the sample's members in the tar file; the other columns are the fields of its JSON.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .stage import Stage
from .storage import storage_errors, written_durably

_PLACE = [("shard", pa.string()), ("offset", pa.int64()), ("size", pa.int64())]
_SAMPLE = [
    ("key", pa.string()),
    ("clip", pa.string()),
    ("start", pa.int32()),
    ("frames", pa.int32()),
    ("fps", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("caption", pa.string()),
]
_MEASURES = [("luma", pa.float32()), ("laplacian", pa.float32()), ("quality", pa.float32())]
_DEGRADED = [("motion", pa.float32()), ("variants", pa.list_(pa.string()))]
REFERENCES = [
    ("enlarged", pa.bool_()),
    ("num_images", pa.int32()),
    ("video_frames", pa.int32()),
    ("has_mask", pa.bool_()),
    ("has_source", pa.bool_()),
]
"""Columns that the first folders of latents do not have."""
SCHEMAS = {
    "prepare": pa.schema(
        [
            *_SAMPLE,
            *_MEASURES,
            ("quality_measure", pa.string()),
            ("reference_frame", pa.int32()),
            ("has_mask", pa.bool_()),
            ("source_frames", pa.int32()),
            ("source_width", pa.int32()),
            ("source_height", pa.int32()),
            ("reference_start", pa.int32()),
            ("has_source", pa.bool_()),
            *_PLACE,
        ]
    ),
    "degrade": pa.schema([*_SAMPLE, ("scale", pa.int32()), *_DEGRADED, *_PLACE]),
    "encode": pa.schema(
        [
            *_SAMPLE,
            *_MEASURES,
            ("low_width", pa.int32()),
            ("low_height", pa.int32()),
            *_DEGRADED,
            ("space", pa.string()),
            ("latent_shape", pa.list_(pa.int32())),
            ("low_latent_shape", pa.list_(pa.int32())),
            ("text_tokens", pa.int32()),
            *REFERENCES,
            *_PLACE,
        ]
    ),
}
"""Columns by command."""
_ROWS_AT_ONCE = 50_000


def write_index(stage: Stage) -> int:
    """Write the index of a stage whose shards are all done. Returns the number of samples.

    Raises:
        ValueError: a shard is missing.
        StorageError: the index cannot be written.
    """
    schema, count, rows = SCHEMAS[stage.settings["command"]], 0, []
    with (
        written_durably(stage.index) as temporary,
        storage_errors(stage.index),
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for shard in range(stage.shards):
            name = stage.tar(shard).name
            rows += [{**sample, "shard": name} for sample in stage.read_manifest(shard)["samples"]]
            if len(rows) >= _ROWS_AT_ONCE or shard == stage.shards - 1:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                count, rows = count + len(rows), []
    return count


def read_index(path: Path) -> pa.Table:
    """The index that `write_index` wrote.

    Raises:
        ValueError: it is not there or damaged.
    """
    if not path.is_file():
        raise ValueError(f"there is no index {path}: it is written when the last shard is done, give the command again")
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it and give the command again") from error


def row_at(table: pa.Table, number: int) -> dict[str, Any]:
    """One row as plain values."""
    return table.slice(number, 1).to_pylist()[0]
