"""Random checkpoints that a host takes for the real ones: the real tensor names, sizes as small as the host allows.

Transformers have a width of 128 and one or two layers. The VAEs' sizes are fixed in the host, so those files are big;
they are made of one small random block, in 8 bits a number.
"""

from __future__ import annotations

import json
import math
import subprocess
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gvr_core.attention import AttentionConfig
from gvr_core.checkpoints import Header, Inference, save_checkpoint
from gvr_core.models.dit import DiT
from gvr_core.models.dit_config import DiTConfig
from gvr_core.models.upsampler import LatentUpsampler, UpsamplerConfig
from gvr_core.references import ReferenceRanges
from gvr_core.schedules import DetailTable

from .hosts import Host

SHAPES_SCRIPT = Path(__file__).resolve().with_name("host_shapes.py")
LORA_RANK = 4
# Prime, so that the repeated block never lines up with rows or kernels.
BLOCK = 65_521

WAN_CASCADE = DiTConfig(
    space="wan21",
    latent_channels=16,
    condition_channels=16,
    dim=128,
    ffn_dim=256,
    num_heads=1,
    num_layers=2,
    freq_dim=256,
    text_dim=4096,
    patch_size=(1, 2, 2),
    eps=1e-6,
    cross_attn_norm=True,
    spatial_attention=False,
    noise_embedding=True,
    attention=AttentionConfig(kind="sparse_local", window=(4, 4), unit=5, window_shift=True),
    reference_ranges=ReferenceRanges(),
    residual_std=None,
)
WAN_INFERENCE = Inference(
    num_steps=50,
    solver="pndm",
    shift=5.0,
    start=1.0,
    noise_aug=0.3,
    noise_aug_range=(0.1, 0.6),
    scales=(2.0, 4.0),
    references=True,
)
DETAIL_TABLE = DetailTable(sigmas=(1.0, 0.8, 0.5, 0.2, 0.0), gains=(0.1, 0.2, 0.4, 0.3))


class TinyModels:
    """Makes files, each once, in a folder.

    Attributes:
        folder: where they are.
    """

    def __init__(self, host: Host, folder: Path):
        self.host, self.folder = host, folder

    @cached_property
    def shapes(self) -> dict[str, dict[str, list[int]]]:
        """Tensor names and shapes of the host's `wan`, `hunyuan`, `wan_vae` and `hunyuan_vae`."""
        command = [self.host.python, str(SHAPES_SCRIPT)]
        result = subprocess.run(
            command, cwd=self.host.path, env=self.host.environment, capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} in {self.host.path} has failed:\n{result.stderr[-2000:]}")
        return json.loads(result.stdout)

    def wan(self) -> Path:
        """A Wan 2.1 text-to-video transformer."""
        return self._host_model("wan", torch.float32)

    def hunyuan(self) -> Path:
        """A HunyuanVideo transformer."""
        return self._host_model("hunyuan", torch.float32)

    def wan_vae(self) -> Path:
        """Wan 2.1's VAE, 127 MB."""
        return self._host_model("wan_vae", torch.float8_e5m2)

    def hunyuan_vae(self) -> Path:
        """HunyuanVideo's VAE, 247 MB."""
        return self._host_model("hunyuan_vae", torch.float8_e5m2)

    def wan_cascade(self) -> Path:
        """A cascade and its upsampler on Wan's shape, with a detail table."""
        path = self.folder / "gvr_wan_cascade.safetensors"
        if not path.exists():
            upsampler = UpsamplerConfig(space="wan21", hidden=8, low_blocks=1, high_blocks=1)
            modules = {"dit": DiT(WAN_CASCADE), "upsampler": LatentUpsampler(upsampler)}
            for module in modules.values():
                _fill(module)
            parts = {"dit": WAN_CASCADE.to_dict(), "upsampler": vars(upsampler)}
            statistics = {"detail_table": DETAIL_TABLE.to_dict()}
            header = Header(space="wan21", parts=parts, inference=WAN_INFERENCE, statistics=statistics)
            save_checkpoint(path, modules, header, dtype=torch.float32)
        return path

    def wan_lora(self) -> Path:
        """A plain LoRA of every projection in Wan's blocks, under the names that training tools write."""
        path = self.folder / "wan_lora.safetensors"
        if not path.exists():
            tensors = {}
            for name in lora_targets(self.shapes["wan"]):
                rows, columns = self.shapes["wan"][f"{name}.weight"]
                tensors[f"diffusion_model.{name}.lora_A.weight"] = (LORA_RANK, columns)
                tensors[f"diffusion_model.{name}.lora_B.weight"] = (rows, LORA_RANK)
            save_file(_random_tensors(tensors, torch.float32), path)
        return path

    def truncated(self) -> Path:
        """The first half of the cascade's file."""
        path = self.folder / "gvr_truncated.safetensors"
        content = self.wan_cascade().read_bytes()
        path.write_bytes(content[: len(content) // 2])
        return path

    def _host_model(self, kind: str, dtype: torch.dtype) -> Path:
        path = self.folder / f"tiny_{kind}.safetensors"
        if not path.exists():
            save_file(_random_tensors(self.shapes[kind], dtype), path)
        return path


def lora_targets(names: dict[str, list[int]]) -> list[str]:
    """Layers of Wan's blocks that LoRAs change: the projections of both attentions and the feed-forward's."""
    projections = tuple(f"{kind}_attn.{which}.weight" for kind in ("self", "cross") for which in "qkvo")
    return sorted(n[: -len(".weight")] for n in names if n.endswith((*projections, "ffn.0.weight", "ffn.2.weight")))


def _random_tensors(shapes: dict[str, list[int] | tuple[int, ...]], dtype: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    block = torch.randn(BLOCK, generator=generator)
    return {name: _random(name, shape, block).to(dtype) for name, shape in shapes.items()}


def _random(name: str, shape: list[int] | tuple[int, ...], block: Tensor) -> Tensor:
    """A tensor that neither silences nor blows up what passes through it."""
    if ("norm" in name and name.endswith(("weight", "scale"))) or name.endswith("gamma"):
        return torch.ones(*shape)
    matrix = len(shape) > 1 and "modulation" not in name
    std = math.prod(shape[1:]) ** -0.5 if matrix else 0.1
    number = math.prod(shape)
    offset = sum(name.encode()) % BLOCK
    return (block.roll(offset) * std).repeat(-(-number // BLOCK))[:number].reshape(*shape)


def _fill(module: nn.Module) -> None:
    """Gives every tensor of one of our modules random values, those that start at zero included."""
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    module.load_state_dict(_random_tensors(shapes, torch.float32))
