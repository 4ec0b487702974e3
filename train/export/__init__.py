"""Runs as files: whole cascades, LoRAs and the cascades they are loaded on."""

from .cascade_file import DTYPES, export

__all__ = ["DTYPES", "export"]
