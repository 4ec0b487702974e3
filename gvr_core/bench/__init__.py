"""What attention costs: counted FLOPs, what this machine measures, and the estimate that joins the two.

Reading order: `counts` (pure), `limit`, `estimate` (pure, for whoever has a calibration), `cases`, `sizes`; then what
runs things: `operations`, `memory`, `measure`, `findings`, `benchmark`; then what is made of it: `results`, `forecast`,
`report`, `sweep`, `plot`.
"""
