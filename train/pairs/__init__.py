"""Training pairs from clips: `prepare` cuts samples, `degrade` makes low-resolution variants, `encode` makes latents.

Each command fills a folder with tar shards, one manifest a shard, one parquet index and a report (see README.md).
"""

from .reading import PairShards

__all__ = ["PairShards"]
