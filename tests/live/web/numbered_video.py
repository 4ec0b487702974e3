"""Videos whose frames carry their own number, and a reader of it in the page: a truth the player knows nothing of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gvr_core.video import VideoWriter

if TYPE_CHECKING:  # machines without Playwright collect these tests as well
    from playwright.sync_api import Locator

BITS = 12

READ = """
    const canvas = document.createElement("canvas");
    canvas.width = BITS;
    canvas.height = 1;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const read = (video) => {
        // The middles of the blocks alone, so that no edge gets in.
        const width = video.videoWidth / BITS, height = video.videoHeight / 4;
        for (let bit = 0; bit < BITS; bit++) {
            context.drawImage(video, (bit + 0.4) * width, 0.4 * height, 0.2 * width, 0.2 * height, bit, 0, 1, 1);
        }
        const { data } = context.getImageData(0, 0, BITS, 1);
        let number = 0;
        for (let bit = 0; bit < BITS; bit++) number = 2 * number + (data[4 * bit] > 127 ? 1 : 0);
        return number;
    };
    const videos = [...root.querySelectorAll("video")];
    // The pictures change on another thread: a pair counts if the first is still the same after the second.
    const readPair = () => {
        for (;;) {
            const pair = videos.map(read);
            if (read(videos[0]) === pair[0]) return pair;
        }
    };
""".replace("BITS", str(BITS))


def write_numbered(path: Path, *, frames: int, width: int, height: int, grey: int = 90, fps: float = 24) -> str:
    """Writes a video; returns its file name.

    The upper quarter of frame i is i in binary, black and white blocks, the highest bit at the left; the rest is grey
    with a bar that moves through its upper half.
    """
    with VideoWriter(path, width=width, height=height, fps=fps, crf=10) as writer:
        for index in range(frames):
            picture = np.full((1, height, width, 3), grey, np.uint8)
            for bit in range(BITS):
                block = slice(bit * width // BITS, (bit + 1) * width // BITS)
                picture[:, : height // 4, block] = 255 * (index >> (BITS - 1 - bit) & 1)
            at = index * width // frames
            picture[:, height // 4 : height // 2, at : at + width // 16] = (230, 160, 40)
            writer.write(picture)
    return path.name


def shown_frames(player: Locator) -> list[int]:
    """Numbers of the frames that both videos of a player show now."""
    return player.evaluate(f"(root) => {{ {READ} return readPair(); }}")


def watch_frames(player: Locator, seconds: float) -> list[list[float]]:
    """Time in milliseconds and both numbers, at every frame the browser draws, for a while."""
    code = f"""(root, seconds) => new Promise((done) => {{
        {READ}
        const found = [], start = performance.now();
        const look = (now) => {{
            found.push([now - start, ...readPair()]);
            if (now - start < 1000 * seconds) requestAnimationFrame(look);
            else done(found);
        }};
        requestAnimationFrame(look);
    }})"""
    return player.evaluate(code, seconds)


def drift(samples: list[list[float]]) -> dict[str, Any]:
    """What a watch has found: largest and mean distance in frames, how many samples, share that showed one frame."""
    distances = [abs(a - b) for _, a, b in samples]
    return {
        "most": max(distances),
        "mean": sum(distances) / len(distances),
        "same": sum(distance == 0 for distance in distances) / len(distances),
        "samples": len(distances),
        "frames": len({a for _, a, _ in samples}),
    }
