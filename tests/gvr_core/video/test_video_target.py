"""What is inside the written files: formats, tags and colours."""

import av
import cv2
import numpy as np
import pytest

from gvr_core.video import VideoReader, VideoWriter


def _write(path, frames, **settings):
    with VideoWriter(path, width=frames.shape[2], height=frames.shape[1], fps=24, **settings) as writer:
        writer.write(frames)
    return path


@pytest.mark.parametrize(("size", "pix_fmt"), [((48, 64), "yuv420p"), ((47, 64), "yuv444p"), ((48, 63), "yuv444p")])
@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".mov", "h264"), (".mkv", "h264"), (".webm", "vp9")])
def test_codec_and_chroma(tmp_path, clip, size, pix_fmt, suffix, codec):
    path = _write(tmp_path / f"a{suffix}", clip[:, : size[0], : size[1]])
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == (codec, pix_fmt)
        assert not container.streams.audio


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 200, 40), (30, 60, 250), (128, 128, 128), (255, 255, 255)])
def test_colours_are_bt709_and_tagged_so(tmp_path, suffix, colour):
    """Truth: ITU-R BT.709, 3.2 to 3.4, 8 bits of narrow range."""
    path = _write(tmp_path / f"a{suffix}", np.full((2, 32, 32, 3), colour, np.uint8), crf=4)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        planes = [np.frombuffer(p, np.uint8).reshape(-1, p.line_size)[: p.height, : p.width] for p in frame.planes]
    red, green, blue = np.array(colour) / 255
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = [16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748]
    np.testing.assert_allclose([plane.mean() for plane in planes], expected, atol=1.5)


def test_smooth_colours_pass_through_without_a_cast(tmp_path):
    """4:2:0 halves the colours' resolution and must not shift them; swscale's fast way does, by more than a level."""
    grid = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = cv2.resize(grid, (256, 192), interpolation=cv2.INTER_CUBIC)[None]
    path = _write(tmp_path / "a.mp4", picture, crf=1)
    error = next(iter(VideoReader(path))).astype(float) - picture[0]
    assert abs(error.mean()) < 0.2
    assert np.abs(error).mean() < 1.7


def test_lower_crf_is_closer(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    sizes = [_write(tmp_path / f"{crf}.mp4", frames, crf=crf).stat().st_size for crf in (4, 16, 40)]
    assert sizes == sorted(sizes, reverse=True)


def test_mp4_can_start_before_it_is_loaded(tmp_path, clip):
    data = _write(tmp_path / "a.mp4", clip).read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
