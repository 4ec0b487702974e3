"""`python -m train fit --config PRESET_OR_YAML [key=value ...] [--resume latest]`, `export`, `evaluate`, `curves`; for
data `prepare`, `degrade`, `encode`."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
