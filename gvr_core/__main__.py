"""`python -m gvr_core upscale IN OUT | info FILE | demo [CLIP]`."""

from __future__ import annotations

import sys

try:
    from .cli.main import main  # takes seconds, in which Ctrl-C is to be quiet too

    code = main()
except KeyboardInterrupt:
    code = 130
sys.exit(code)
