"""Where test prompts begin: text without a text encoder, latents without a sampler."""

import hashlib

import torch


class TextEncode:
    """A prompt as any text encoder of Wan or Hunyuan would give it, made of the text's hash."""

    CATEGORY, FUNCTION, RETURN_TYPES = "gvr_test", "run", ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "text": ("STRING", {"default": "", "multiline": True}),
                "tokens": ("INT", {"default": 512, "min": 1, "max": 512}),
                "pooled": ("BOOLEAN", {"default": False, "tooltip": "with Hunyuan's pooled output"}),
            }
        }

    def run(self, text, tokens, pooled):
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
        generator = torch.Generator().manual_seed(seed)
        extra = {"pooled_output": torch.randn(1, 768, generator=generator)} if pooled else {}
        return ([[torch.randn(1, tokens, 4096, generator=generator), extra]],)


class Latent:
    """A random latent in the VAE's own range, or one with something wrong."""

    CATEGORY, FUNCTION, RETURN_TYPES = "gvr_test", "run", ("LATENT",)
    KINDS = ("random", "zeros", "nan", "image")

    @classmethod
    def INPUT_TYPES(cls):
        size = {"default": 8, "min": 1, "max": 4096}
        return {
            "required": {
                "channels": ("INT", {"default": 16, "min": 1, "max": 128}),
                "frames": ("INT", {"default": 2, "min": 1, "max": 100, "tooltip": "latent frames"}),
                "height": ("INT", {**size, "tooltip": "latent rows"}),
                "width": ("INT", {**size, "tooltip": "latent columns"}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**32}),
                "batch": ("INT", {"default": 1, "min": 1, "max": 16}),
                "kind": (cls.KINDS, {"tooltip": "image: 4 dimensions, without the frames"}),
                "mean": ("FLOAT", {"default": 0.0, "min": -100.0, "max": 100.0}),
                "std": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 100.0}),
            }
        }

    def run(self, channels, frames, height, width, seed, batch, kind, mean, std):
        shape = (batch, channels, height, width) if kind == "image" else (batch, channels, frames, height, width)
        samples = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * std + mean
        if kind == "zeros":
            samples = torch.zeros(shape)
        elif kind == "nan":
            samples[..., 0, 0] = float("nan")
        return ({"samples": samples},)


class Images:
    """Random pictures of one colour each, so that frames can be told apart."""

    CATEGORY, FUNCTION, RETURN_TYPES = "gvr_test", "run", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):
        size = {"default": 64, "min": 1, "max": 4096}
        return {
            "required": {
                "count": ("INT", {"default": 1, "min": 1, "max": 200}),
                "height": ("INT", size),
                "width": ("INT", size),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**32}),
            }
        }

    def run(self, count, height, width, seed):
        colours = torch.rand(count, 1, 1, 3, generator=torch.Generator().manual_seed(seed))
        return (colours.expand(count, height, width, 3).contiguous(),)


SOURCES = {"GVRTestTextEncode": TextEncode, "GVRTestLatent": Latent, "GVRTestImages": Images}
