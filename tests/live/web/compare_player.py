"""A player of Compare Videos in a page, with two numbered clips of different size and brightness in it."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .comfy_page import ComfyPage
from .numbered_video import shown_frames, write_numbered

if TYPE_CHECKING:  # machines without Playwright collect these tests as well
    from playwright.sync_api import Locator

KIND, WIDGET, VIEW = "GVRCompareVideo", "gvr_compare_video", "gvr_compare_view"
SMALL, LARGE = (320, 180), (960, 540)
GREY_A, GREY_B = 90, 102
FRAMES = 288


class ComparePlayer:
    """The node and its player.

    Attributes:
        comfy: The page.
        node: Id of the node.
        root: The player's element.
        stage: Its pictures.
    """

    def __init__(self, comfy: ComfyPage, node: int) -> None:
        self.comfy, self.node = comfy, node
        self.root = comfy.widget(node, WIDGET)
        self.stage = self.root.locator(".gvr-cv-stage")

    def button(self, name: str) -> Locator:
        """A button by its accessible name."""
        return self.root.get_by_role("button", name=name, exact=True)

    def slider(self, name: str) -> Locator:
        """A slider by the start of its accessible name."""
        return self.root.get_by_role("slider", name=name)

    def view(self) -> dict[str, Any]:
        """The view as the workflow has it; empty where nothing was changed yet."""
        return self.comfy.on_node(self.node, f"(node) => node.properties.{VIEW} ?? {{}}")

    def frame(self) -> int:
        """Index of the frame on the counter."""
        return int(self.root.locator(".gvr-cv-count b").inner_text()) - 1

    def shown(self) -> list[int]:
        """Numbers read from the pixels of both videos."""
        return shown_frames(self.root)

    def is_playing(self) -> bool:
        """Whether the play button would pause."""
        return self.button("Pause").count() == 1

    def wait_until_ready(self) -> None:
        """Until both videos have their first frame."""
        self.comfy.page.wait_for_function(
            "(root) => [...root.querySelectorAll('video')].every((video) => video.readyState >= 2 && !video.seeking)",
            arg=self.root.element_handle(),
            timeout=60_000,
        )
        self.comfy.settle(300)

    def wait_for_frame(self, index: int) -> None:
        """Until both videos show a frame."""
        self.comfy.page.wait_for_function(
            "([root, text]) => root.querySelector('.gvr-cv-count b').textContent === text"
            " && [...root.querySelectorAll('video')].every((video) => !video.seeking)",
            arg=[self.root.element_handle(), str(index + 1)],
            timeout=60_000,
        )
        self.comfy.settle(100)

    def picture(self) -> np.ndarray:
        """`h w c` of what the stage looks like on the screen."""
        return np.asarray(Image.open(BytesIO(self.stage.screenshot())).convert("RGB")).astype(int)


def put_clips(comfy: ComfyPage, frames: int = FRAMES) -> list[str]:
    """Names of the small and the large clip in the server's input folder."""
    names = []
    for which, (width, height), grey in (("small", SMALL, GREY_A), ("large", LARGE, GREY_B)):
        path = comfy.server.base / "input" / f"{which}_{frames}.mp4"
        if not path.exists():
            write_numbered(path, frames=frames, width=width, height=height, grey=grey)
        names.append(path.name)
    return names


def add_player(
    comfy: ComfyPage,
    *,
    frames: int = FRAMES,
    at: tuple[float, float] = (330, 0),
    size: tuple[float, float] | None = None,
) -> ComparePlayer:
    """A graph of two loaders and the node, run, with the player ready."""
    node = comfy.add(KIND, at=at, size=size)
    for which, name in zip("ab", put_clips(comfy, frames), strict=True):
        loader = comfy.add("LoadVideo", at=(at[0] - 330, at[1] + (which == "b") * 420), file=name)
        comfy.connect(loader, node, which)
    comfy.zoom(1)
    comfy.run()
    player = ComparePlayer(comfy, node)
    player.wait_until_ready()
    return player
