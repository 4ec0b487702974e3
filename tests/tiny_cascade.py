"""A complete cascade with tiny random weights, for everything that is about plumbing and not about pictures."""

import torch

from gvr_core.attention import AttentionConfig
from gvr_core.checkpoints import Header, Inference, save_checkpoint
from gvr_core.models.dit import DiT
from gvr_core.models.dit_config import DiTConfig
from gvr_core.models.upsampler import LatentUpsampler, UpsamplerConfig
from gvr_core.models.vae import NanoVAE, NanoVAEConfig
from gvr_core.references import ReferenceRanges


def tiny_dit_config(**changes):
    values = {
        "space": "nano",
        "latent_channels": 48,
        "condition_channels": 48,
        "dim": 16,
        "ffn_dim": 32,
        "num_heads": 2,
        "num_layers": 2,
        "freq_dim": 16,
        "text_dim": 0,
        "patch_size": (1, 2, 2),
        "eps": 1e-6,
        "cross_attn_norm": False,
        "spatial_attention": False,
        "noise_embedding": True,
        "attention": AttentionConfig(kind="sparse_local", window=(4, 4), unit=5, window_shift=True),
        "reference_ranges": ReferenceRanges(),
        "residual_std": (0.2,) * 48,
    }
    return DiTConfig(**{**values, **changes})


INFERENCE = Inference(
    num_steps=3,
    solver="euler",
    shift=0.5,
    start=1.0,
    noise_aug=0.05,
    noise_aug_range=(0.0, 0.3),
    scales=(2.0,),
    references=False,
)


def save_tiny(path, *, parts=("dit", "upsampler", "vae"), dit=None):
    """Write a checkpoint with the given parts; returns the path."""
    torch.manual_seed(0)
    configs = {
        "vae": NanoVAEConfig(space="nano", width=8, encoder_blocks=1, decoder_blocks=1),
        "upsampler": UpsamplerConfig(space="nano", hidden=8, low_blocks=1, high_blocks=1),
        "dit": dit or tiny_dit_config(),
    }
    makers = {"vae": NanoVAE, "upsampler": LatentUpsampler, "dit": DiT}
    modules = {name: makers[name](configs[name]) for name in parts}
    if "dit" in modules:
        modules["dit"].initialize()
        torch.nn.init.normal_(modules["dit"].head.head.weight, std=0.02)
    entries = {name: configs[name].to_dict() if name == "dit" else vars(configs[name]) for name in parts}
    header = Header(space="nano", parts=entries, inference=INFERENCE)
    save_checkpoint(path, modules, header, dtype=torch.float32)
    return path
