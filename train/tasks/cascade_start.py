"""The cascade's model: built from its config section, started from nothing, from Wan or from a cascade."""

from __future__ import annotations

import logging
from typing import Any

from gvr_core.checkpoints import check_state_dict, has_header, read_header, read_part
from gvr_core.models.dit import DiT
from gvr_core.models.upsampler import LatentUpsampler, UpsamplerConfig
from gvr_core.wan_weights import initialize_from_wan

from ..config import build
from ..fit_config import FitConfig
from ..model_sizes import dit_config
from .cascade_sources import Source, checkpoint_path

log = logging.getLogger("gvr")


def build_model(config: FitConfig, source: Source) -> tuple[DiT, LatentUpsampler | None]:
    """The untrained parts of the section `model`.

    `model.upsampler`, a mapping, is an upsampler trained with the transformer. `model.residual_std` may be "measured":
    that of the frozen upsampler's header.

    Raises:
        ValueError: a key or value that does not fit.
    """
    values: dict[str, Any] = dict(config.model)
    upsampler = values.pop("upsampler", None)
    if values.get("residual_std") == "measured":
        if source.residual_std is None:
            raise ValueError("model.residual_std is measured, but no frozen upsampler has it in its header: give null")
        values["residual_std"] = list(source.residual_std)
    dit = DiT(dit_config(values))
    if dit.config.space != source.space:
        raise ValueError(f"model.space is {dit.config.space}, the data are of {source.space}: they must be the same")
    dit.initialize()
    if upsampler is None:
        return dit, None
    return dit, LatentUpsampler(build(UpsamplerConfig, {"space": dit.config.space, **upsampler}, "model.upsampler."))


def start_model(dit: DiT, upsampler: LatentUpsampler | None, config: FitConfig) -> None:
    """Load `init_from` into fresh parts: a checkpoint of this project, or Wan's text-to-video weights.

    Raises:
        ValueError: no such file, or its tensors do not fit.
    """
    if not config.init_from:
        return
    path = checkpoint_path(config.init_from)
    if not has_header(path):
        new = initialize_from_wan(dit, path)
        log.info("started from %s; new and without effect yet: %s", path, ", ".join(new))
        return
    parts = read_header(path).parts
    for name, module in (("dit", dit), ("upsampler", upsampler)):
        if module is not None and name in parts:
            tensors = read_part(path, name)
            check_state_dict(module, tensors, source=str(path))
            module.load_state_dict(tensors)
            log.info("%s started from %s", name, path)
        elif name == "dit":
            raise ValueError(f"init_from {path} holds {', '.join(parts)}, but no dit: choose another checkpoint")
