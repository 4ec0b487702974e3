"""A run of seconds for the engine's tests: a tiny transformer on random latents. Also what torchrun starts.

`python -m torch.distributed.run --nproc_per_node 2 toy_run.py 2 '[{"output": ..., "overrides": [...]}, ...]'`
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
import yaml
from accelerate import DeepSpeedPlugin, DistributedType, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.utils.data import Dataset

from gvr_core import flow
from gvr_core.attention import AttentionConfig
from gvr_core.models.dit import TIMESTEPS, DiT
from gvr_core.models.dit_config import DiTConfig
from gvr_core.references import ReferenceRanges
from train.config import load_config
from train.fit_config import FitConfig
from train.loop import Run, fit, training

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
task: toy
seed: 3
steps: 6
batch: 4
micro_batch: 1
precision: float32
save_every: 3
keep: 5
trackers: []
data: {source: rendered, frames: 5, short_sides: [64], crop: 64}
optim: {learning_rate: 1.0e-2, warmup_steps: 2, ema_decay: 0.9}
model: {dim: 16, layers: 2}
objective: {nan_groups: [], stop_group: -1}
"""


class Groups(Dataset):
    def __init__(self, seed, size, offset=0):
        self.seed, self.size, self.offset = seed, size, offset

    def __getitem__(self, g):
        generator = torch.Generator().manual_seed((self.seed + self.offset) * 1000 + g)
        clean = torch.randn(self.size, 48, 2, 4, 4, generator=generator)
        return {"clean": clean, "noise": torch.randn(clean.shape, generator=generator), "group": g, "name": "toy"}


class ToyTask:
    """Its groups carry their noise; `nan_groups` have a loss that is NaN, `stop_group` gets its process a SIGTERM."""

    frozen = ()
    timesteps = True  # has noise levels

    def __init__(self, config):
        self.config = config
        self.model = DiT(
            DiTConfig(
                space="nano",
                latent_channels=48,
                condition_channels=48,
                dim=config.model["dim"],
                ffn_dim=32,
                num_heads=2,
                num_layers=config.model["layers"],
                freq_dim=16,
                text_dim=0,
                patch_size=(1, 2, 2),
                eps=1e-6,
                cross_attn_norm=False,
                spatial_attention=False,
                noise_embedding=True,
                attention=AttentionConfig(),
                reference_ranges=ReferenceRanges(),
                residual_std=None,
            )
        )
        self.model.initialize()
        self.model.gradient_checkpointing = config.gradient_checkpointing

    def groups(self, *, held_out=False):
        return Groups(self.config.seed, self.config.group, offset=500 if held_out else 0)

    def start(self):
        torch.nn.init.normal_(self.model.head.head.weight, std=0.02, generator=torch.Generator().manual_seed(1))

    def loss(self, batch, *, sigma=None):
        g = batch["group"]
        if g == self.config.objective["stop_group"]:
            os.kill(os.getpid(), signal.SIGTERM)
        noise = batch["noise"]
        sigmas = torch.full((len(noise),), (g % 7 + 1) / 8 if sigma is None else sigma)
        x = flow.interpolate(batch["clean"], noise, sigmas)
        velocity = self.model(x, TIMESTEPS * sigmas, None)
        loss = (velocity.float() - flow.velocity(noise, batch["clean"])).square().mean()
        if g in self.config.objective["nan_groups"]:
            loss = loss * torch.nan
        return loss, {"sigma": float(sigmas.mean()), **({"even": 1.0} if g % 2 == 0 else {})}


class ShardedRun(Run):
    """FSDP2 as train/launch/fsdp2.yaml asks for it.

    Accelerate leaves it out on CPUs, so its state is told afterwards; from there on everything is accelerate's own way.
    """

    def __init__(self, config, task, accelerator):
        sharded = {"distributed_type": DistributedType.FSDP, "fsdp_plugin": fsdp2_plugin()}
        accelerator.state.__dict__.update(sharded)
        assert accelerator.is_fsdp2
        super().__init__(config, task, accelerator)

    def prepare(self):
        super().prepare()
        assert all(isinstance(p, DTensor) for p in self.model.parameters())
        assert all(isinstance(block, FSDPModule) for block in self.model.blocks)


def fsdp2_plugin():
    """The plugin that accelerate makes of the launch file."""
    settings = yaml.safe_load((ROOT / "train" / "launch" / "fsdp2.yaml").read_text(encoding="utf-8"))["fsdp_config"]
    return FullyShardedDataParallelPlugin(
        fsdp_version=settings["fsdp_version"],
        reshard_after_forward=settings["fsdp_reshard_after_forward"],
        auto_wrap_policy=settings["fsdp_auto_wrap_policy"],
        transformer_cls_names_to_wrap=[settings["fsdp_transformer_layer_cls_to_wrap"]],
        cpu_ram_efficient_loading=settings["fsdp_cpu_ram_efficient_loading"],
        cpu_offload=settings["fsdp_offload_params"],
        state_dict_type=settings["fsdp_state_dict_type"],
    )


class DeepSpeedRun(Run):
    """ZeRO 2 as train/launch/ds_zero2.yaml asks for it, told afterwards as well."""

    def __init__(self, config, task, accelerator):
        plugin = DeepSpeedPlugin(hf_ds_config=str(ROOT / "train" / "launch" / "ds_zero2.json"))
        plugin.set_mixed_precision("no")
        plugin.select(_from_accelerator_state=True)
        told = {"distributed_type": DistributedType.DEEPSPEED, "deepspeed_plugins": plugin}
        accelerator.state.__dict__.update(told)
        accelerator.deepspeed_engine_wrapped = None  # as accelerate begins on a GPU
        super().__init__(config, task, accelerator)

    def prepare(self):
        super().prepare()
        assert self.module.optimizer.partition_gradients


def toy_config(output, *overrides):
    """The config of a toy run in a folder."""
    # Each process has a file of its own: another one's could be read half-written.
    path = output.parent / f"{output.name}-{os.getpid()}.yaml"
    path.write_text(CONFIG + f"output: {output}\n", encoding="utf-8")
    return load_config(FitConfig, str(path), list(overrides))


RUNS = {"whole": Run, "sharded": ShardedRun, "deepspeed": DeepSpeedRun}


def main(processes, jobs):
    """Several runs after one another in the same processes; a job is output, overrides, resume and form."""
    torch.set_num_threads(1)
    training.tasks.make_task = ToyTask
    for job in jobs:
        training.Run = RUNS[job.get("form", "whole")]
        AcceleratorState._reset_state()
        fit(toy_config(Path(job["output"]), *job.get("overrides", [])), resume=job.get("resume"))
        assert torch.distributed.get_world_size() == processes
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
