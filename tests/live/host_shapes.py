"""Run by a host's own interpreter inside its checkout: prints the tensor names and shapes of its models as JSON.

The classes are instantiated on the meta device, with the sizes that the host's detection expects; so the names are the
host's, not ours.
"""

import dataclasses
import json
import re
import sys

arguments, sys.argv = sys.argv, [sys.argv[0], "--cpu"]
sys.path.insert(0, ".")

import comfy.options  # noqa: E402  the path comes first

comfy.options.enable_args_parsing()

import torch  # noqa: E402
from comfy.ldm.hunyuan_video.model import HunyuanVideo, HunyuanVideoParams  # noqa: E402
from comfy.ldm.models.autoencoder import AutoencoderKL  # noqa: E402
from comfy.ldm.wan.model import WanModel  # noqa: E402
from comfy.ldm.wan.vae import WanVAE  # noqa: E402
from comfy.ops import disable_weight_init  # noqa: E402

DIM = 128  # one head: the hosts' detection takes 128 channels a head
FACTORY = {"device": "meta", "dtype": torch.float32, "operations": disable_weight_init}


def wan():
    sizes = {"dim": DIM, "ffn_dim": 2 * DIM, "num_heads": 1, "num_layers": 2, "text_dim": 4096, "in_dim": 16}
    return WanModel(**sizes, out_dim=16, **FACTORY)


def hunyuan():
    sizes = {"in_channels": 16, "out_channels": 16, "patch_size": [1, 2, 2], "vec_in_dim": 768, "context_in_dim": 4096}
    sizes |= {"hidden_size": DIM, "num_heads": 1, "mlp_ratio": 4.0, "depth": 1, "depth_single_blocks": 1}
    sizes |= {"axes_dim": [16, 56, 56], "theta": 256, "qkv_bias": True, "guidance_embed": True}
    # Newer hosts have switches for relatives of the model; all of them are off in it.
    off = {
        field.name: None if field.name.endswith("_dim") else False for field in dataclasses.fields(HunyuanVideoParams)
    }
    return HunyuanVideo(**{**off, **sizes}, **FACTORY)


def wan_vae():
    return WanVAE(dim=96, z_dim=16, dim_mult=[1, 2, 4, 4], temperal_downsample=[False, True, True])


def hunyuan_vae():
    sizes = {"double_z": True, "z_channels": 16, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128}
    sizes |= {"ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0}
    return AutoencoderKL(ddconfig={**sizes, "conv3d": True, "time_compress": 4}, embed_dim=16)


def shapes(make):
    with torch.device("meta"):
        tensors = make().state_dict()
    # Published Hunyuan files call the norms' weights `scale`; newer hosts rename them on loading.
    return {re.sub(r"(key|query)_norm\.weight$", r"\1_norm.scale", name): list(tensors[name].shape) for name in tensors}


makers = {"wan": wan, "hunyuan": hunyuan, "wan_vae": wan_vae, "hunyuan_vae": hunyuan_vae}
sys.stdout.write(json.dumps({name: shapes(makers[name]) for name in arguments[1:] or makers}))
