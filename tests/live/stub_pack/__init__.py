"""Nodes that only the tests use: stand-ins for what is too big, and gauges for what cannot be seen from outside."""

from .attention_gauge import ATTENTION_GAUGES
from .gauges import GAUGES
from .sources import SOURCES

NODE_CLASS_MAPPINGS = {**SOURCES, **GAUGES, **ATTENTION_GAUGES}
