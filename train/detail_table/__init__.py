"""The detail-aware timestep sampler of S 4.3: at which noise levels a model gains its high-frequency detail."""
