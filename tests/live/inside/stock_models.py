"""Tiny random models of the host's own classes, recognised by its detection from their tensors, and what they take.

Latents have 3 frames of 16 x 24 cells: 8 x 12 tokens a frame.
"""

import dataclasses
import math
import re

import torch
from pack_in_host import host_module

wan, animate = host_module("comfy.ldm.wan.model"), host_module("comfy.ldm.wan.model_animate")
hunyuan, base = host_module("comfy.ldm.hunyuan_video.model"), host_module("comfy.model_base")
FRAMES, HEIGHT, WIDTH, TEXT = 3, 16, 24, 20
FRAME = HEIGHT * WIDTH // 4
DIM = 256  # two heads: the hosts' detection takes 128 channels a head
FACTORY = {"device": "meta", "dtype": torch.float32, "operations": host_module("comfy.ops").disable_weight_init}
HUNYUAN15 = {"in_channels": 65, "out_channels": 32, "patch_size": [1, 1, 1], "vec_in_dim": None, "byt5": True}
HUNYUAN15 |= {"guidance_embed": False, "use_cond_type_embedding": True, "vision_in_dim": 1152, "meanflow_sum": True}
WAN = {"dim": DIM, "ffn_dim": DIM, "num_heads": 2, "num_layers": 2, "text_dim": 4096, "freq_dim": 256}


def _wan(kind=wan.WanModel, **sizes):
    return kind(**{**WAN, "in_dim": 16, "out_dim": 16, **sizes}, **FACTORY)


def _hunyuan(**changes):
    sizes = {"in_channels": 16, "out_channels": 16, "patch_size": [1, 2, 2], "vec_in_dim": 768, "context_in_dim": 4096}
    sizes |= {"hidden_size": DIM, "num_heads": 2, "mlp_ratio": 4.0, "depth": 2, "depth_single_blocks": 2}
    sizes |= {"axes_dim": [16, 56, 56], "theta": 256, "qkv_bias": True, "guidance_embed": True}
    names = [field.name for field in dataclasses.fields(hunyuan.HunyuanVideoParams)]
    # Newer hosts have switches for relatives of the model; all of them are off in it.
    off = {name: None if name.endswith("_dim") else False for name in names}
    return hunyuan.HunyuanVideo(**{**off, **sizes, **changes}, **FACTORY)


def _random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _latent(channels=16, frames=FRAMES, height=HEIGHT, width=WIDTH, seed=0):
    return _random(1, channels, frames, height, width, seed=seed)


def _mask(open_tokens):
    return torch.tensor([[int(n in open_tokens) for n in range(TEXT)]])


MASKS = {"ones": range(TEXT), "prefix": range(7), "one": [0], "holes": [0, 3, 4, 11]}
MODELS = {
    "wan": _wan,
    "wan_i2v": lambda: _wan(model_type="i2v", in_dim=36),
    "wan22_5b": lambda: _wan(in_dim=48, out_dim=48),
    "wan_fun_ref": lambda: _wan(in_dim_ref_conv=16),
    "wan_vace": lambda: _wan(wan.VaceWanModel, num_layers=4, vace_layers=2, vace_in_dim=96),
    "wan_camera": lambda: _wan(wan.CameraWanModel, model_type="camera", in_dim=32, in_dim_control_adapter=24),
    "wan_humo": lambda: _wan(wan.HumoWanModel),
    "wan_s2v": lambda: _wan(wan.WanModel_S2V),
    "wan_animate": lambda: _wan(animate.AnimateWanModel, in_dim=36, num_layers=5),
    "wan_scail": lambda: _wan(wan.SCAILWanModel, in_dim=20),
    "hunyuan": _hunyuan,
    "hunyuan15": lambda: _hunyuan(**HUNYUAN15),
}
# What a graph's nodes put into the conditioning, by variant: the model, and the values.
VARIANTS = {
    "wan": ("wan", {}),
    "wan phantom": ("wan", {"time_dim_concat": _latent(frames=2, seed=5)}),
    "wan_i2v": ("wan_i2v", {"concat_latent_image": _latent(seed=1), "concat_mask": torch.ones(1, 4, 3, 16, 24)}),
    "wan22_5b": ("wan22_5b", {}),
    "wan_fun_ref": ("wan_fun_ref", {"reference_latents": [_latent(frames=1, seed=2)]}),
    "wan_vace": ("wan_vace", {"vace_frames": [_latent(32, seed=3)], "vace_mask": [torch.ones(1, 64, 3, 16, 24)]}),
    "wan_camera": ("wan_camera", {"camera_conditions": _random(1, 24, 3, 128, 192)}),
    "wan_humo": ("wan_humo", {"reference_latents": [_latent(frames=1, seed=2)]}),
    "wan_s2v": ("wan_s2v", {"reference_latents": [_latent(frames=1, seed=2)]}),
    "wan_s2v motion": ("wan_s2v", {"reference_motion": _latent(frames=19, seed=6)}),
    "wan_animate": ("wan_animate", {"pose_video_latent": _latent(frames=2, seed=4)}),
    "wan_scail": ("wan_scail", {"reference_latents": [_latent(frames=1, seed=2)]}),
    "wan_scail pose": ("wan_scail", {"pose_video_latent": _latent(frames=4, height=8, width=12, seed=7)}),
    "hunyuan": ("hunyuan", {}),
    "hunyuan ref": ("hunyuan", {"ref_latent": _latent(frames=1, seed=2)}),
    "hunyuan15": ("hunyuan15", {"conditioning_byt5small": _random(1, 5, 1472)}),
    **{f"hunyuan {name}": ("hunyuan", {"attention_mask": _mask(tokens)}) for name, tokens in MASKS.items()},
}


def has(kind):
    """Whether this host knows a model."""
    newer = {"wan_scail": hasattr(wan, "SCAILWanModel"), "hunyuan15": hasattr(base, "HunyuanVideo15")}
    return newer.get(kind, True)


def build(kind):
    """A MODEL with random weights."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, tensor in MODELS[kind]().state_dict().items():
        # Published Hunyuan files call the norms' weights `scale`; newer hosts rename them on loading.
        stored = re.sub(r"(key|query)_norm\.weight$", r"\1_norm.scale", name)
        std = max(1, math.prod(tensor.shape[1:])) ** -0.5 if tensor.ndim > 1 and "modulation" not in name else 0.1
        is_norm = "norm" in name and name.endswith(("weight", "scale")) and tensor.ndim == 1
        tensors[stored] = torch.ones(tensor.shape) if is_norm else torch.randn(tensor.shape, generator=generator) * std
    model = host_module("comfy.sd").load_diffusion_model_state_dict(tensors)
    assert model is not None, f"the host does not recognise {kind}"
    return model


def latent(kind, frames=FRAMES):
    """What a model samples."""
    if kind == "hunyuan15":  # a token for every cell
        return _latent(32, frames, HEIGHT // 2, WIDTH // 2)
    return _latent(48 if kind == "wan22_5b" else 16, frames)


def conditioning(values, seed=8, tokens=TEXT):
    """A prompt with what a graph has added to it."""
    extra = {"pooled_output": _random(1, 768, seed=9), **values}
    return [[_random(1, tokens, 4096, seed=seed), extra]]


def sample(model, kind, values, *, cfg=1.0, steps=2, tokens=TEXT, shape=None):
    """What KSampler gives."""
    start = latent(kind) if shape is None else _latent(*shape)
    positive, negative = conditioning(values, tokens=tokens), conditioning(values, seed=10, tokens=tokens)
    run = host_module("comfy.sample").sample
    return run(model, start, steps, cfg, "euler", "simple", positive, negative, torch.zeros_like(start), seed=0)
