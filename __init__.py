"""ComfyUI's door into the project: it loads this folder as a package and asks for the nodes."""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
