"""Launch files: accelerate reads them, and they ask for what the trainer expects."""

import os
import re
import subprocess

import pytest
from accelerate import FullyShardedDataParallelPlugin
from accelerate.commands.config import load_config_from_file

from .toy_run import ROOT, fsdp2_plugin

LAUNCH = ROOT / "train" / "launch"


@pytest.mark.parametrize("path", sorted(LAUNCH.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_knows_every_key(path):
    config = load_config_from_file(str(path))
    assert config.mixed_precision == "no"  # casting is the trainer's


def test_slurm_and_the_launch_file_shard_alike(monkeypatch):
    script = (LAUNCH / "slurm.sbatch").read_text(encoding="utf-8")
    for line in re.findall(r"^# export (.*)$", script, flags=re.MULTILINE):
        for name, value in (entry.split("=") for entry in line.split()):
            monkeypatch.setenv(name, value)
    assert os.environ["ACCELERATE_USE_FSDP"] == "true"
    of_slurm, of_file = FullyShardedDataParallelPlugin(), fsdp2_plugin()
    for name in ("fsdp_version", "reshard_after_forward", "transformer_cls_names_to_wrap", "state_dict_type"):
        assert getattr(of_slurm, name) == getattr(of_file, name), name
    assert of_slurm.cpu_ram_efficient_loading is False


def test_slurm_script_is_a_script():
    subprocess.run(["bash", "-n", str(LAUNCH / "slurm.sbatch")], check=True)
