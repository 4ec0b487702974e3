"""`python -m gvr_core upscale IN OUT | info FILE | demo [CLIP]`."""

from __future__ import annotations

import sys

from .cli.main import main

sys.exit(main())
