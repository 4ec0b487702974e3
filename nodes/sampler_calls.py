"""Where a solver asks for predictions in each step."""

from __future__ import annotations

MIDDLE = ("dpm_2", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde", "dpmpp_sde_gpu")
END = ("heun", "exp_heun_2_x0", "exp_heun_2_x0_sde", "sa_solver_pece")
PLACES = {
    **dict.fromkeys((*MIDDLE, "seeds_2"), (0, 0)),
    **dict.fromkeys(END, (0, 1)),
    "seeds_3": (0, 0, 0),
    "heunpp2": (0, 1, 2),
}
"""Of ComfyUI's solvers that ask more than once a step, counted by running them: 0 within the step, 1 where the next one
begins."""
UNKNOWN = frozenset({"dpm_fast", "dpm_adaptive"})
"""They choose by themselves."""


def calls_per_step(sampler: str, steps: int) -> list[list[int]]:
    """For each of `steps` steps the indices at which predictions are asked for; solvers that are not known ask once.

    The last step, which ends at no noise, asks once.
    """
    places = PLACES.get(sampler, (0,))
    calls = [[step + place for place in places if step + place < steps] for step in range(steps)]
    calls[-1] = calls[-1][:1]
    return calls
