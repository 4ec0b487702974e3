"""The networks: `dit` (the cascade's transformer), `upsampler` (latent to high-resolution latent) and `vae`.

Import the module that owns the class; the package itself exports nothing.
"""
