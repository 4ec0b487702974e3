"""The nodes of ComfyUI-GVR: schemas and a few lines each around `gvr_core`."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import host
from .attention import SparseAttention
from .cascade import LatentCascadeUpsample
from .compare import CompareVideo
from .degrade import FlowDegrade, SDEditDegrade
from .guidance import MultiCFGGuider
from .loaders import LoadCascade
from .references import ReferenceTokens
from .routes import add_routes
from .sampling import MultiCFGSampler, PNDMSampler
from .schedules import DetailAwareSigmas, PartialSigmas
from .video import DecodeVideo, EncodeVideo, SampleClip

NODES: tuple[type[io.ComfyNode], ...] = (
    LoadCascade,
    LatentCascadeUpsample,
    ReferenceTokens,
    MultiCFGSampler,
    MultiCFGGuider,
    PNDMSampler,
    DetailAwareSigmas,
    PartialSigmas,
    SparseAttention,
    EncodeVideo,
    DecodeVideo,
    SampleClip,
    FlowDegrade,
    SDEditDegrade,
    CompareVideo,
)


class GVRExtension(ComfyExtension):
    """What ComfyUI asks for the nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return list(NODES)


async def comfy_entrypoint() -> GVRExtension:
    """ComfyUI's entry point; makes `models/gvr` and our routes known."""
    host.register_model_folder()
    add_routes()
    return GVRExtension()
