"""Framework-free core of ComfyUI-GVR: generative video super-resolution as a cascade (SimpleGVR, UniMMVSR).

Nothing here knows ComfyUI or the training code; both build on this package. Import the module that owns the noun
you need (`flow`, `geometry`, `solvers`, ...): the package itself exports nothing and does no work.
"""
