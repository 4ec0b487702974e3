"""Where on the path from clean to noise a training sample lies: three samplers of sigma (S 4.3, SPEC 2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gvr_core.schedules import DetailTable, shift_sigmas

SAMPLERS = ("uniform", "logit_normal", "table")


@dataclass(frozen=True, kw_only=True)
class TimestepConfig:
    """How sigma is drawn.

    Attributes:
        sampler: "uniform" in (0, 1), as S's pilot and U; "logit_normal": the logistic function of a normal number;
            "table": the detail-aware distribution of S 4.3, measured by `train profile-timesteps`.
        mean: of the normal number.
        std: its deviation.
        shift: applied to what was drawn; 1 changes nothing, more means more noise.
        table: JSON file of "table".
        floor: share of samples of "table" that are drawn uniformly all the same, so that no noise level is never met
            (ours; 0 is the paper's).
    """

    sampler: str = "uniform"
    mean: float = 0.0
    std: float = 1.0
    shift: float = 1.0
    table: str = ""
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"objective.timesteps.sampler is {self.sampler!r}, expected one of {', '.join(SAMPLERS)}")
        if (self.sampler == "table") != bool(self.table):
            raise ValueError(
                f"objective.timesteps has sampler {self.sampler} and table {self.table!r}: the sampler table needs a "
                "file made by `train profile-timesteps`, the others have none"
            )
        if self.std <= 0 or self.shift <= 0 or not 0 <= self.floor <= 1:
            raise ValueError(
                f"objective.timesteps has std {self.std}, shift {self.shift}, floor {self.floor}: expected the first "
                "two above 0, the third in [0, 1]"
            )


class TimestepSampler:
    """Draws sigmas; made once for a run."""

    def __init__(self, config: TimestepConfig) -> None:
        """Raises ValueError where the table cannot be read."""
        self.config, self.table = config, None
        if config.table:
            self.table = read_table(Path(config.table))

    def draw(self, generator: torch.Generator) -> Tensor:
        """One sigma in [0, 1], float32 `()`. Always the same number of draws, whatever the sampler finds."""
        config = self.config
        if config.sampler == "logit_normal":
            sigma = torch.sigmoid(config.mean + config.std * torch.randn((), generator=generator))
        elif self.table is None:
            sigma = torch.rand((), generator=generator)
        else:
            is_uniform, uniform = torch.rand(2, generator=generator)
            drawn = self.table.sample(generator, 1)[0]
            sigma = uniform if is_uniform < config.floor else drawn
        return shift_sigmas(sigma, config.shift) if config.shift != 1 else sigma


def read_table(path: Path) -> DetailTable:
    """The detail table of a JSON file.

    Raises:
        ValueError: no such file, or no table inside.
    """
    if not path.is_file():
        raise ValueError(f"no such detail table: {path}: make it with `train profile-timesteps`")
    try:
        return DetailTable.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{path} holds no detail table ({error}): make it again") from error
