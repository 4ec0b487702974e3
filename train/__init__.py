"""Training of cascades: `python -m train fit | evaluate | export`. Imports `gvr_core`, is imported by nothing."""
